//! How the page looks: the picture, the colours, on paper, in a narrow window.

use serde_json::json;

use super::driver::{Browser, browse};
use super::pages;

#[test]
fn the_picture_is_drawn_and_nothing_in_it_overlaps() {
    browse(async |browser| {
        for page in
            [pages::example(pages::BROKEN), pages::example("story4c-quorum-lost"), pages::many(), pages::hostile()]
        {
            browser.open(&page).await;
            browser
                .no_complaint(
                    "const complaints = [];
                    const box = (it) => it.getBBox();
                    const nodes = [...document.querySelectorAll('.node')].map((node) => [node, box(node.querySelector('.box'))]);
                    if (nodes.length < 2) complaints.push('there is no picture');
                    if (!document.querySelectorAll('.picture .line').length) complaints.push('there are no lines');
                    const frame = document.querySelector('.picture').viewBox.baseVal;
                    nodes.forEach(([node, a], at) => {
                        const name = node.getAttribute('aria-label');
                        if (a.width < 100 || a.height < 30) complaints.push(`${name} is ${a.width} by ${a.height}`);
                        if (a.x < frame.x || a.y < frame.y || a.x + a.width > frame.x + frame.width || a.y + a.height > frame.y + frame.height)
                            complaints.push(`${name} is outside`);
                        for (const [other, b] of nodes.slice(0, at))
                            if (a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height)
                                complaints.push(`${name} lies over ${other.getAttribute('aria-label')}`);
                        for (const text of node.querySelectorAll('text')) {
                            const t = box(text);
                            if (t.x < a.x || t.y < a.y || t.x + t.width > a.x + a.width || t.y + t.height > a.y + a.height)
                                complaints.push(`${text.textContent} leaves its box`);
                        }
                        const seen = node.querySelector('.box').getBoundingClientRect();
                        if (seen.width < 60 || seen.height < 25) complaints.push(`${name} is too small to read`);
                    });
                    return complaints;",
                )
                .await;
        }
    });
}

#[test]
fn a_picture_of_very_many_is_bounded_and_says_so() {
    browse(async |browser| {
        browser.open(&pages::many()).await;
        let counts = browser
            .ask(
                "const ids = (selector, of) => [...document.querySelectorAll(selector)].flatMap(of);
                const drawn = ids('.node', (node) => node.dataset.findings.split(' '));
                return [
                    document.querySelectorAll('.node').length,
                    drawn.length - new Set(drawn).size,
                    drawn.every((id) => document.getElementById(id)),
                    document.querySelectorAll('.outline li > a').length >= drawn.length,
                    /stand for \\d+ findings together/.test(document.querySelector('#c1-graph').textContent),
                ];",
            )
            .await;
        assert!(counts[0].as_u64().is_some_and(|count| (5..=160).contains(&count)), "{counts}");
        assert_eq!(counts.as_array().unwrap()[1..], [json!(0), json!(true), json!(true), json!(true)]);
    });
}

/// Every text against what is behind it, by the formula of WCAG 2.
const CONTRAST: &str = "
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => part / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
            if (colour[3] !== 0) return [NaN, NaN, NaN];
        }
        return [255, 255, 255];
    };
    const drawn = (text) => {
        const box = text.closest('.node').querySelector(text.matches('.place') ? '.entry' : '.box');
        return rgba(getComputedStyle(box).fill);
    };
    const ratio = (a, b) => {
        const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
        return (high + 0.05) / (low + 0.05);
    };
    const complaints = [];
    let count = 0;
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || element.matches('script, style, title, desc, option') || !element.checkVisibility()) continue;
        const svg = element.closest('svg');
        const style = getComputedStyle(element);
        const measured = svg
            ? ratio(rgba(style.fill), drawn(element.closest('text')))
            : ratio(rgba(style.color), behind(element));
        count += 1;
        if (!(measured >= 4.5)) complaints.push(`${element.className?.baseVal ?? element.className} ${element.tagName}: ${measured.toFixed(2)}`);
    }
    if (count < 100) complaints.push(`only ${count} texts were seen`);
    return [...new Set(complaints)];";

async fn ground(browser: &Browser) -> String {
    browser.ask("return getComputedStyle(document.body).backgroundColor").await.as_str().unwrap().to_owned()
}

#[test]
fn every_text_can_be_read_by_day_and_by_night() {
    browse(async |browser| {
        for page in [pages::example(pages::BROKEN), pages::example("story4c-quorum-lost"), pages::several()] {
            let mut grounds = Vec::new();
            for scheme in ["light", "dark"] {
                browser.media("screen", scheme).await;
                browser.open(&page).await;
                browser.ask("document.querySelector('#fold').click()").await;
                browser.no_complaint(CONTRAST).await;
                grounds.push(ground(browser).await);
                // The switch says the other, whatever the machine says.
                browser.ask("document.querySelector('#theme').click()").await;
                browser.no_complaint(CONTRAST).await;
                grounds.push(ground(browser).await);
            }
            assert_eq!((&grounds[0], &grounds[1]), (&grounds[3], &grounds[2]));
            assert_ne!(grounds[0], grounds[1]);
        }
    });
}

#[test]
fn on_paper_everything_is_unfolded_and_nothing_can_be_pressed() {
    browse(async |browser| {
        browser.open(&pages::example(pages::BROKEN)).await;
        // Whatever the reader has filtered away.
        browser
            .ask(
                "document.querySelector('#text').value = 'no such words';
                document.querySelector('#filters').dispatchEvent(new Event('input', { bubbles: true }));",
            )
            .await;
        browser.media("print", "dark").await;
        browser
            .no_complaint(
                "const seen = (it) => it.checkVisibility({ contentVisibilityAuto: true }) && it.getBoundingClientRect().height > 0;
                const not = (selector) => [...document.querySelectorAll(selector)].filter((it) => !seen(it)).map((it) => `${selector} is not seen`);
                const still = (selector) => [...document.querySelectorAll(selector)].filter(seen).map((it) => `${selector} is seen`);
                return [
                    ...not('.finding'), ...not('.finding .inside'), ...not('.command code'), ...not('.checks tr'), ...not('.outline li'), ...not('.picture'),
                    ...still('button'), ...still('input'), ...still('.nothing'),
                ];",
            )
            .await;
        assert_eq!(ground(browser).await, "rgba(0, 0, 0, 0)");
        assert_eq!(browser.ask("return getComputedStyle(document.body).color").await, "rgb(28, 36, 48)");
        let paper = browser.devtools("Page.printToPDF", json!({})).await;
        assert!(paper["data"].as_str().unwrap().starts_with("JVBERi0"));
    });
}

#[test]
fn a_narrow_window_does_not_move_sideways() {
    browse(async |browser| {
        for page in [pages::example(pages::BROKEN), pages::several(), pages::many(), pages::hostile()] {
            browser.size(360).await;
            browser.open(&page).await;
            for press in ["", "document.querySelector('#fold').click();"] {
                let width = browser.ask(&format!("{press} return document.documentElement.scrollWidth;")).await;
                assert_eq!(width, 360, "{press}");
            }
        }
    });
}
