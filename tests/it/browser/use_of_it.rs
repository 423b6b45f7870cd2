//! How the page is used: by pointer, by keyboard, by ear, and without script.

use std::collections::BTreeSet;

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::driver::{Browser, browse};
use super::pages;

/// Whether the finding that was led to is seen, unfolded, and has the focus.
const LED: &str = "
    const it = document.getElementById(location.hash.slice(1));
    if (!it) return null;
    const place = it.getBoundingClientRect();
    const inside = it.matches('details') ? it.querySelector('.inside') : it;
    return [it.matches('.finding'), inside.checkVisibility(), inside.getBoundingClientRect().height > 0,
        place.top < innerHeight && place.bottom > 0, it.contains(document.activeElement)];";

#[test]
fn a_box_of_the_picture_leads_to_its_finding() {
    browse(async |browser| {
        browser.open(&pages::example(pages::BROKEN)).await;
        let boxes = browser.client.find_all(Locator::Css(".node")).await.unwrap();
        assert_eq!(boxes.len(), 13);
        for one in boxes {
            one.click().await.unwrap();
            browser.becomes(LED, json!([true, true, true, true, true])).await;
            let chosen = "return document.querySelector('.node.chosen')?.dataset.findings === location.hash.slice(1)";
            browser.becomes(chosen, json!(true)).await;
        }
    });
}

/// Sets what the filters say.
async fn filter(browser: &Browser, script: &str) -> Value {
    let script = format!(
        "const form = document.querySelector('#filters');
        form.reset();
        {script};
        form.dispatchEvent(new Event('input', {{ bubbles: true }}));
        const seen = [...document.querySelectorAll('.finding')].filter((it) => it.checkVisibility());
        return [seen.length, [...new Set(seen.map((it) => it.dataset.severity))].sort(),
            [...new Set(seen.map((it) => it.dataset.area))].sort(), document.querySelector('#shown').textContent,
            document.querySelectorAll('.node.dim').length];"
    );
    browser.ask(&script).await
}

#[test]
fn filters_leave_what_they_say() {
    browse(async |browser| {
        browser.open(&pages::example(pages::BROKEN)).await;
        let all = filter(browser, "").await;
        assert_eq!((&all[0], &all[3], &all[4]), (&json!(15), &json!("15 findings"), &json!(0)));
        let critical = filter(
            browser,
            "form.querySelectorAll('[name=severity]').forEach((it) => { it.checked = it.value === 'critical'; })",
        )
        .await;
        assert_eq!(
            (&critical[0], &critical[1], &critical[3]),
            (&json!(4), &json!(["critical"]), &json!("4 of 15 findings"))
        );
        assert_eq!(critical[4], json!(9));
        let area = filter(browser, "form.querySelector('#area').value = 'OVN'").await;
        assert_eq!((&area[0], &area[2]), (&json!(4), &json!(["OVN"])));
        let text = filter(browser, "form.querySelector('#text').value = '  BOOT id'").await;
        assert_eq!((&text[0], &text[2]), (&json!(2), &json!(["NODE", "OVN"])));
        let none = filter(browser, "form.querySelector('#text').value = 'no such words'").await;
        assert_eq!((&none[0], &none[4]), (&json!(0), &json!(13)));
        let notes = "return [...document.querySelectorAll('.nothing')].every((it) => it.checkVisibility())";
        assert_eq!(browser.ask(notes).await, true);
        // The picture only fades: nothing is taken out of it.
        let torn = "return document.querySelectorAll('.picture .off').length";
        assert_eq!(browser.ask(torn).await, 0);
        // Who follows a link to what is filtered away gets there.
        browser.client.find(Locator::Css(".node")).await.unwrap().click().await.unwrap();
        browser.becomes(LED, json!([true, true, true, true, true])).await;
        assert_eq!(browser.ask("return document.querySelector('#shown').textContent").await, "15 findings");
    });
}

#[test]
fn commands_are_copied_whole() {
    browse(async |browser| {
        browser.open(&pages::example(pages::BROKEN)).await;
        let script = "
            const done = arguments[arguments.length - 1];
            const copied = [];
            Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { copied.push(text); } } });
            const buttons = [...document.querySelectorAll('.whole .copy')];
            buttons.forEach((button) => button.click());
            setTimeout(() => done([copied, buttons.map((button) => button.textContent)]), 100);";
        let copied = browser.client.execute_async(script, vec![]).await.unwrap();
        let commands = copied[0].as_array().unwrap();
        assert_eq!(commands[0], "kubectl rookdoctor fix OVN007");
        assert!(commands.contains(&json!("kubectl -n kube-system delete pod ovs-ovn-kc2tb")), "{commands:?}");
        assert!(copied[1].as_array().unwrap().iter().all(|it| it == "Copied"));
    });
}

#[test]
fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    browse(async |browser| {
        browser.open(&pages::example(pages::BROKEN)).await;
        let expected = browser
            .ask(
                "const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')];
                const reachable = all.filter((it) => it.checkVisibility() || it.matches('.skip'));
                reachable.forEach((it, at) => { it.dataset.order = at; });
                return reachable.length;",
            )
            .await
            .as_u64()
            .unwrap();
        let mut reached = BTreeSet::new();
        for step in 0..expected {
            tab(browser).await;
            let at = browser
                .ask(
                    "const it = document.activeElement;
                    const style = getComputedStyle(it);
                    const box = it.querySelector('.box');
                    const shown = style.outlineStyle !== 'none' || (box && parseFloat(getComputedStyle(box).strokeWidth) > 2);
                    return [it.dataset.order ?? it.outerHTML.slice(0, 200), Boolean(shown), it.getBoundingClientRect().top >= -1];",
                )
                .await;
            assert_eq!((&at[1], &at[2]), (&json!(true), &json!(true)), "{at}");
            if step == 0 {
                assert_eq!(at[0], "0", "the first is the way past the controls");
            }
            reached.insert(at[0].as_str().unwrap().to_owned());
        }
        let every: BTreeSet<String> = (0..expected).map(|at| at.to_string()).collect();
        assert_eq!(reached, every);
        // A fold opens by a key.
        browser.ask("document.querySelector('.finding > summary').focus()").await;
        browser.client.active_element().await.unwrap().send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        assert_eq!(browser.ask("return document.querySelector('details.finding').open").await, true);
    });
}

async fn tab(browser: &Browser) {
    for kind in ["keyDown", "keyUp"] {
        let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
        browser.devtools("Input.dispatchKeyEvent", key).await;
    }
}

#[test]
fn who_listens_hears_what_others_see() {
    browse(async |browser| {
        for page in [pages::example(pages::BROKEN), pages::several(), pages::example(pages::HEALTHY)] {
            browser.open(&page).await;
            browser.ask("document.querySelector('#fold').click()").await;
            browser
                .no_complaint(
                    "const complaints = [];
                    const all = (selector) => [...document.querySelectorAll(selector)];
                    const levels = all('h1, h2, h3, h4, h5, h6').map((it) => Number(it.tagName[1]));
                    if (levels.filter((level) => level === 1).length !== 1 || levels[0] !== 1) complaints.push('there is not one h1');
                    levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) complaints.push(`an h${level} after an h${levels[at - 1]}`); });
                    if (!document.documentElement.lang) complaints.push('no language');
                    for (const part of ['main', 'header', 'footer', 'nav', '[role=search]']) if (!all(part).length) complaints.push(`no ${part}`);
                    for (const table of all('table')) {
                        if (!table.caption?.textContent.trim()) complaints.push('a table without a caption');
                        if ([...table.querySelectorAll('th')].some((it) => !it.scope)) complaints.push('a th without a scope');
                    }
                    for (const list of all('ul')) if ([...list.children].some((it) => !it.matches('li'))) complaints.push('a list of other things');
                    const ids = all('[id]').map((it) => it.id);
                    if (new Set(ids).size !== ids.length) complaints.push('an id twice');
                    for (const name of ['aria-labelledby', 'aria-describedby'])
                        for (const it of all(`[${name}]`)) for (const id of it.getAttribute(name).split(' '))
                            if (!document.getElementById(id)) complaints.push(`${id} is nowhere`);
                    for (const it of all('.picture')) if (it.getAttribute('role') !== 'img' || !it.querySelector('title, desc')) complaints.push('a picture without words');
                    for (const link of all('a')) if (!document.getElementById(link.getAttribute('href').slice(1))) complaints.push(`${link.outerHTML} leads nowhere`);
                    return complaints;",
                )
                .await;
            assert_eq!(nameless(browser).await, Vec::<String>::new());
        }
    });
}

/// Controls that a screen reader would have no name for.
async fn nameless(browser: &Browser) -> Vec<String> {
    let tree = browser.devtools("Accessibility.getFullAXTree", json!({})).await;
    let controls = ["link", "button", "searchbox", "textbox", "combobox", "checkbox", "DisclosureTriangle", "image"];
    let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == json!(false));
    let those: Vec<&Value> =
        nodes.filter(|node| node["role"]["value"].as_str().is_some_and(|role| controls.contains(&role))).collect();
    assert!(those.len() > 10, "{} controls were seen", those.len());
    let named = |node: &Value| node["name"]["value"].as_str().is_some_and(|name| !name.trim().is_empty());
    let without = those.into_iter().filter(|node| !named(node));
    without.map(Value::to_string).collect()
}

#[test]
fn without_script_the_page_is_whole() {
    browse(async |browser| {
        let page = pages::example(pages::BROKEN);
        let (before, rest) = page.rsplit_once("<script>").unwrap();
        let (_, after) = rest.split_once("</script>").unwrap();
        browser.open(&format!("{before}{after}")).await;
        browser
            .no_complaint(
                "const complaints = [];
                const all = (selector) => [...document.querySelectorAll(selector)];
                if (all('.scripted').some((it) => it.checkVisibility())) complaints.push('a control that does nothing');
                if (all('.off, .dim').length) complaints.push('something is filtered away');
                if (all('.finding').some((it) => !it.checkVisibility())) complaints.push('a finding is not seen');
                return complaints;",
            )
            .await;
        browser.client.find(Locator::Css("details.finding > summary")).await.unwrap().click().await.unwrap();
        assert_eq!(browser.ask("return document.querySelector('.inside').checkVisibility()").await, true);
    });
}
