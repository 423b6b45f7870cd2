# Written by `kubectl rookdoctor completion fish`.
complete --keep-order --exclusive --command kubectl-rookdoctor --arguments "(KUBECTL_ROOKDOCTOR_COMPLETE=fish kubectl-rookdoctor -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
