//! The page of `-o html` in a real browser.

mod driver;
mod looks;
mod pages;
mod use_of_it;

use serde_json::{Value, json};

use driver::browse;

#[test]
fn nothing_leaves_the_page_and_nothing_is_complained_about() {
    browse(async |browser| {
        for page in [pages::example(pages::BROKEN), pages::example(pages::HEALTHY), pages::several(), pages::hostile()]
        {
            browser.log("performance").await;
            browser.open(&page).await;
            browser.ask("document.querySelector('#fold').click()").await;
            let said: Vec<Value> = browser.log("browser").await;
            assert!(said.is_empty(), "{said:?}");
            let asked = requests(&browser.log("performance").await);
            assert_eq!(asked.len(), 1, "{asked:?}");
            assert!(asked[0].starts_with("file:"), "{asked:?}");
        }
    });
}

/// The addresses of all requests in a log.
fn requests(log: &[Value]) -> Vec<String> {
    let messages = log.iter().map(|entry| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap());
    let sent = messages.filter(|message| message["message"]["method"] == "Network.requestWillBeSent");
    sent.map(|message| message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_policy_holds_off_what_is_not_ours() {
    browse(async |browser| {
        browser.open(&pages::example(pages::HEALTHY)).await;
        let script = "
            const done = arguments[arguments.length - 1];
            const held = new Set();
            document.addEventListener('securitypolicyviolation', (event) => held.add(event.effectiveDirective));
            const add = (tag, set) => { const it = document.createElement(tag); set(it); document.body.append(it); };
            add('script', (it) => { it.textContent = 'window.owned = true'; });
            add('style', (it) => { it.textContent = 'body { color: red }'; });
            add('img', (it) => { it.src = 'https://rookdoctor.invalid/a.png'; });
            add('p', (it) => { it.setAttribute('onclick', 'window.owned = true'); it.click(); });
            add('p', (it) => { it.setAttribute('style', 'color: red'); });
            fetch('https://rookdoctor.invalid/').catch(() => {});
            setTimeout(() => done([window.owned ?? null, [...held].sort()]), 500);";
        let held = browser.client.execute_async(script, vec![]).await.unwrap();
        let directives =
            ["connect-src", "img-src", "script-src-attr", "script-src-elem", "style-src-attr", "style-src-elem"];
        assert_eq!(held, json!([null, directives]));
    });
}

#[test]
fn hostile_words_are_words() {
    browse(async |browser| {
        let page = pages::hostile();
        browser.open(&page).await;
        browser.ask("document.querySelector('#fold').click()").await;
        browser
            .no_complaint(
                "const all = [...document.querySelectorAll('*')];
                return [
                    ...all.filter((it) => [...it.attributes].some((one) => one.name.startsWith('on'))).map((it) => it.outerHTML),
                    ...all.filter((it) => it.matches('a') && !(it.getAttribute('href') ?? '').startsWith('#')).map((it) => it.outerHTML),
                    ...[...document.scripts].slice(1).map((it) => it.outerHTML),
                    ...[...document.querySelectorAll('style')].slice(1).map((it) => it.outerHTML),
                    ...(document.documentElement.outerHTML.includes('\\u202e') ? ['it turns the text around'] : []),
                ];",
            )
            .await;
        // The attack is there to be read: in what is found, and in the picture.
        let read = browser
            .ask(
                "const has = (selector) => [...document.querySelectorAll(selector)].some((it) => it.textContent.includes('<script>alert(1)'));
                return [has('.finding .summary'), has('.finding blockquote'), has('.node'), has('.outline')];",
            )
            .await;
        assert_eq!(read, json!([true, true, true, true]));
        assert!(browser.client.get_alert_text().await.is_err());
    });
}
