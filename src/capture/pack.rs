//! A recorded cluster as a file or a folder.
