//! What the pictures show: the numbers that were given, for every kind of token; and the page in a real browser.

use attentive::models::{AttentionMaps, MapToken};
use base64::Engine;
use serde_json::{Value, json};

use super::*;
use crate::output::npy::as_numpy;

/// Words that a picture could stumble over.
const HOSTILE: [&str; 12] = [
    "[CLS]",
    "</script><b onclick=\"x\">&'",
    "שלום",
    "مرحبا",
    "中文",
    "🦜👩‍👩‍👧",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunter",
    "a\u{0}\u{1b}[31m\u{202e}b",
    "{title}",
    "",
    " ",
    "\u{2028}e\u{301}",
];

fn tokens(texts: &[&str]) -> Vec<MapToken> {
    let token = |(word, text): (usize, &&str)| match *text {
        "[CLS]" => MapToken { label: "[CLS]".to_owned(), ..MapToken::default() },
        text => MapToken { text: usize::from(word > 6), word: Some(word), ..MapToken::new(text) },
    };
    texts.iter().enumerate().map(token).collect()
}

/// Rows that sum to 1, different from each other.
fn maps(tokens: [Vec<MapToken>; 2], layers: usize, heads: usize) -> AttentionMaps {
    let mut random = fastrand::Rng::with_seed(5);
    let (rows, columns) = (tokens[0].len(), tokens[1].len());
    let mut weights = Vec::new();
    for _ in 0..layers * heads * rows {
        let row: Vec<f32> = (0..columns).map(|_| random.f32().powi(6) + 1e-6).collect();
        let sum: f32 = row.iter().sum();
        weights.extend(row.iter().map(|weight| weight / sum));
    }
    let numbers = |count: usize| (0..count).map(|number| Some(number + 3)).collect();
    AttentionMaps::new(tokens, numbers(layers), numbers(heads), weights).unwrap()
}

fn drawing(maps: &AttentionMaps) -> Drawing<'_> {
    Drawing {
        title: "The <cat> & \"the\" mat".to_owned(),
        caption: "a model".to_owned(),
        maps,
        sides: ["from", "to"],
        unnumbered: String::new(),
        from: None,
        most: None,
        photo: None,
        theme: Theme::Light,
        view: None,
    }
}

fn square(texts: &[&str], layers: usize, heads: usize) -> AttentionMaps {
    maps([tokens(texts), tokens(texts)], layers, heads)
}

/// The page's data.
fn data(page: &str) -> Value {
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_scale_is_told_as_it_was_given() {
    let maps = square(&["a", "b"], 1, 1);
    let page = html::page(&Drawing { most: Some(0.3), ..drawing(&maps) });
    assert_eq!(data(&page)["most"], json!(0.3));
}

const VIEWS: [View; 5] = [View::Map, View::Heads, View::From, View::Links, View::Pair];

#[test]
fn the_pages_numbers_are_the_weights() {
    let maps = square(&HOSTILE, 2, 3);
    let data = data(&html::page(&drawing(&maps)));
    let bytes = base64::engine::general_purpose::STANDARD.decode(data["weights"].as_str().unwrap()).unwrap();
    let weights: Vec<f32> =
        bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(weights, maps.weights());
    assert_eq!((&data["layers"], &data["heads"]), (&json!([3, 4]), &json!([3, 4, 5])));
    assert_eq!(data["columns"], Value::Null);
    let labels: Vec<&str> =
        data["rows"].as_array().unwrap().iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(labels[..7], HOSTILE[..7]);
    assert_eq!(labels[7..11], ["a\\u{0}\\u{1b}[31m\\u{202e}b", "{title}", "(empty)", "␣"]);
    assert_eq!(data["rows"][2]["right_to_left"], true);
}

#[test]
fn nothing_of_a_text_becomes_markup() {
    let maps = square(&HOSTILE, 1, 1);
    let mut drawing = drawing(&maps);
    drawing.title = HOSTILE.concat();
    let page = html::page(&drawing);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<b onclick"));
    for outside in ["http://", "https://", "//cdn", "@import", "url("] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
    }
    for view in VIEWS {
        let svg = Drawing { view: Some(view), from: Some(2), ..drawing.clone() }.svg();
        let tree =
            resvg::usvg::roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{view:?}: {error}"));
        assert!(
            tree.descendants().all(|node| !node.has_tag_name("b") && !node.has_tag_name("script")),
            "{view:?}"
        );
        let texts: Vec<&str> = tree.descendants().filter_map(|node| node.text()).collect();
        if view != View::Pair {
            for whole in ["שלום", "中文", "</script><b onclick=\"x\">&'"] {
                assert!(texts.iter().any(|text| text.contains(whole)), "{view:?}: {whole}");
            }
        }
        assert!(!svg.contains('\u{202e}') && !svg.contains('\u{1b}'), "{view:?}");
    }
}

#[test]
fn every_view_is_drawn_of_every_size() {
    let long: Vec<String> = (0..512).map(|number| format!("token{number}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let tall = maps([tokens(&long[..40]), tokens(&HOSTILE)], 1, 1);
    let all = [
        square(&["x"], 1, 1),
        square(&long, 1, 1),
        square(&HOSTILE, 6, 12),
        tall,
        square(&[], 1, 1),
        square(&["x"], 0, 2),
    ];
    for maps in &all {
        for theme in [Theme::Light, Theme::Dark] {
            for view in VIEWS {
                let svg = Drawing { theme, view: Some(view), from: Some(0), ..drawing(maps) }.svg();
                let tree = resvg::usvg::roxmltree::Document::parse(&svg);
                let tree = tree.unwrap_or_else(|error| panic!("{view:?} of {:?}: {error}", maps.shape()));
                let size = |name| tree.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
                assert!((200.0..30_000.0).contains(&size("width")), "{view:?} of {:?}", maps.shape());
                assert!((50.0..30_000.0).contains(&size("height")), "{view:?} of {:?}", maps.shape());
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{view:?} of {:?}", maps.shape());
            }
        }
        assert!(!text(&drawing(maps)).is_empty());
        assert!(!text(&Drawing { from: Some(0), ..drawing(maps) }).is_empty());
        assert!(html::page(&drawing(maps)).len() > 1000);
    }
    // A long text's map stays a file that can be sent.
    let svg = Drawing { view: Some(View::Map), ..drawing(&all[1]) }.svg();
    assert!(svg.len() < 6_000_000, "{} bytes", svg.len());
}

#[test]
fn what_is_no_number_is_shown_as_such() {
    let tokens = tokens(&["a", "b"]);
    let weights = vec![f32::NAN, 0.5, 1.0, 0.0];
    let maps = AttentionMaps::new([tokens.clone(), tokens], vec![Some(0)], vec![Some(0)], weights).unwrap();
    for view in VIEWS {
        let svg = Drawing { view: Some(view), from: Some(0), ..drawing(&maps) }.svg();
        assert!(svg.contains("not numbers"), "{view:?}: {svg}");
        assert!(!svg.contains("=\"NaN") && !svg.contains(" NaN "), "{view:?}: {svg}");
    }
    let svg = Drawing { view: Some(View::Map), ..drawing(&maps) }.svg();
    assert!(svg.contains(Theme::Light.palette().nan) && svg.contains(">NaN<"), "{svg}");
    assert!(text(&Drawing { from: Some(0), ..drawing(&maps) }).contains("NaN"));
    assert!(data(&html::page(&drawing(&maps)))["sums"].as_str().unwrap().contains("not numbers"));
}

#[test]
fn cells_have_the_colours_of_their_weights() {
    let tokens = tokens(&["a", "b"]);
    let maps = AttentionMaps::new(
        [tokens.clone(), tokens],
        vec![Some(0)],
        vec![Some(0)],
        vec![0.25, 0.75, 1.0, 0.0],
    );
    let maps = maps.unwrap();
    let svg = Drawing { most: Some(1.0), view: Some(View::Map), ..drawing(&maps) }.svg();
    let palette = Theme::Light.palette();
    for (weight, text) in [(0.25, ">.25<"), (0.75, ">.75<"), (1.0, ">1.00<")] {
        let color = palette.color(palette.step(weight, 1.0).unwrap());
        assert!(svg.contains(&format!("stroke=\"{color}\"")) && svg.contains(text), "{weight}");
    }
    assert!(svg.contains("layer") || svg.contains("Layer 0, head 0"), "{svg}");
}

#[test]
fn the_array_has_four_axes() {
    let maps = square(&["a", "b", "c"], 2, 4);
    let (shape, weights) = as_numpy::array(&picture::array(&maps));
    assert_eq!(shape, [2, 4, 3, 3]);
    assert_eq!(weights, maps.weights());
}

#[test]
fn sums_are_told_as_they_are() {
    let maps = square(&["a", "b", "c"], 1, 1);
    assert!(drawing(&maps).about_sums().contains("sum to 1 over all"));
    let fewer = maps.only(|token| token.label != "c");
    assert!(drawing(&fewer).about_sums().contains("left out"));
}

#[cfg(unix)]
mod in_a_browser {
    use super::super::browser::{Browser, chosen};
    use super::*;

    /// Scrolls to an element, lets that be drawn, and gives a point then.
    fn scrolled(to: &str, point: &str) -> String {
        format!(
            "(async () => {{ {to}.scrollIntoView({{ block: 'center', inline: 'center' }}); for (let frame = 0; frame < 2; \
             frame++) await new Promise(requestAnimationFrame); return {point}; }})()"
        )
    }

    /// The middle of an element.
    fn middle(of: &str) -> String {
        let point = "[box.left + box.width / 2, box.top + box.height / 2]";
        scrolled(of, &format!("((box) => {point})({of}.getBoundingClientRect())"))
    }

    /// The middle of a cell of the map.
    fn cell(row: usize, column: usize) -> String {
        let point =
            format!("[box.left + ({column} + 0.5) * state.cell, box.top + ({row} + 0.5) * state.cell]");
        let point = format!("((box) => {point})(element('map-canvas').getBoundingClientRect())");
        scrolled(&format!("(mark({row}, {column}), cellBox)"), &point)
    }

    fn shown(weight: f32) -> String {
        if weight < 1e-4 { format!("{weight:.3e}") } else { format!("{weight:.6}") }
    }

    #[test]
    fn the_page_opens_shows_and_answers() {
        let Some(program) = chosen() else { return };
        let folder = tempfile::tempdir().unwrap();
        let mut browser = Browser::start(&program, &["--disable-gpu"]);
        let open = |browser: &mut Browser, name: &str, drawing: &Drawing<'_>| {
            let file = folder.path().join(format!("{name}.html"));
            std::fs::write(&file, html::page(drawing)).unwrap();
            browser.open(&file);
            assert_eq!(browser.faults, [""; 0], "{name}");
        };

        let maps = square(&HOSTILE, 2, 3);
        open(&mut browser, "pair", &Drawing { from: Some(6), ..drawing(&maps) });
        a_hover_is_answered(&mut browser, &maps);
        keys_reach_cells_and_heads(&mut browser, &maps);
        tokens_stay_readable(&mut browser);
        light_and_dark(&mut browser);
        assert_eq!(browser.faults, [""; 0]);

        let [target, source] = [tokens(&["le", "chat"]), tokens(&["the", "cat", "sat"])];
        let translated = super::maps([target, source], 1, 1);
        let sides = ["target", "source"];
        open(&mut browser, "translation", &Drawing { sides, ..drawing(&translated) });
        browser.point(&cell(1, 2));
        let tip = browser.text("tip.innerText");
        assert!(
            tip.contains("chat") && tip.contains("sat") && tip.contains(&shown(translated.map(0, 0)[5])),
            "{tip}"
        );
        assert_eq!(browser.value("element('heads-part').hidden && element('pair-part').hidden"), json!(true));

        let long: Vec<String> = (0..512).map(|number| format!("token{number}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        for (name, texts) in [("one", &["x"][..]), ("many", &long), ("none", &[])] {
            let maps = square(texts, 1, 1);
            open(&mut browser, name, &drawing(&maps));
            assert_eq!(
                browser.value("[R, C, weights.length]"),
                json!([texts.len(), texts.len(), texts.len().pow(2)])
            );
            if !texts.is_empty() {
                browser.point(&cell(0, 0));
                assert!(browser.text("tip.innerText").contains(&shown(maps.map(0, 0)[0])), "{name}");
            }
        }
        let [a, b] = [tokens(&["a"]), tokens(&["a"])];
        let nan = AttentionMaps::new([a, b], vec![None], vec![None], vec![f32::NAN]).unwrap();
        open(&mut browser, "nan", &drawing(&nan));
        browser.point(&cell(0, 0));
        assert!(browser.text("tip.innerText").contains("NaN"));
        assert!(browser.text("element('legend').innerText").contains("NaN"));
        assert_eq!(browser.faults, [""; 0]);
    }

    #[track_caller]
    fn a_hover_is_answered(browser: &mut Browser, maps: &AttentionMaps) {
        let weights = browser.value("Array.from(weights)");
        let weights = weights.as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap() as f32);
        assert_eq!(weights.collect::<Vec<_>>(), maps.weights());
        assert_eq!(browser.value("tip.hidden"), json!(true));
        // At first the mean of all is seen; then one head is chosen in the grid.
        browser.click(&middle("document.querySelector('#heads [data-map=\"1 2\"]')"));
        assert_eq!(browser.value("[state.layer, state.head]"), json!([1, 2]));
        assert!(browser.text("element('map-about').textContent").starts_with("Layer 4, head 5"));
        for (row, column) in [(0, 0), (1, 3), (6, 2), (11, 11)] {
            browser.point(&cell(row, column));
            let tip = browser.text("tip.hidden ? '' : tip.innerText");
            let weight = shown(maps.map(1, 2)[row * 12 + column]);
            assert!(tip.contains(&weight), "row {row}, column {column}: {tip}, not {weight}");
            assert!(tip.contains("layer 4, head 5"), "{tip}");
        }
        browser.point(&cell(2, 4));
        let tip = browser.text("tip.innerText");
        assert!(tip.contains("שלום") && tip.contains("中文"), "{tip}");
        // The cell of the largest weight has the map's last colour.
        let last = browser.value(
            "(() => { const values = current(); const at = values.indexOf(Math.max(...values)); const pixel = \
             element('map-canvas').getContext('2d').getImageData(at % C, Math.floor(at / C), 1, 1).data; return \
             [...pixel].slice(0, 3).join() === palette.at(-1).join(); })()",
        );
        assert_eq!(last, json!(true));
        // What one token attends to, as bars.
        let bars =
            browser.value("[...document.querySelectorAll('#bars .number')].map((of) => of.textContent)");
        let row: Vec<String> = maps.row(1, 2, 6).iter().map(|&weight| shown(weight)).collect();
        assert_eq!(bars, json!(row));
    }

    #[track_caller]
    fn keys_reach_cells_and_heads(browser: &mut Browser, maps: &AttentionMaps) {
        browser.value("hush(); cursor = [0, 0]; element('map').focus({ focusVisible: true })");
        browser.key("ArrowRight");
        browser.key("ArrowDown");
        browser.key("ArrowDown");
        let said = browser.text("element('said').textContent");
        assert!(said.contains(&shown(maps.map(1, 2)[2 * 12 + 1])), "{said}");
        assert_eq!(browser.value("tip.hidden"), json!(false));
        browser.key("Enter");
        assert_eq!(browser.value("state.from"), json!(2));
        browser.key("Escape");
        assert_eq!(browser.value("tip.hidden"), json!(true));
        // All that can be chosen is a control that the keyboard reaches.
        let reach = "['#layer', '#head', '#from', '#scale', '#heads button', '#sentence button', '#links button', '#map'].every((of) => document.querySelector(of).tabIndex === 0)";
        assert_eq!(browser.value(reach), json!(true));
        browser.value("element('head').value = 0; element('head').dispatchEvent(new Event('change'))");
        assert_eq!(browser.value("state.head"), json!(0));
    }

    #[track_caller]
    fn tokens_stay_readable(browser: &mut Browser) {
        let labels =
            browser.value("[...document.querySelectorAll('#map-rows bdi')].map((of) => of.textContent)");
        assert_eq!(labels[1], "</script><b onclick=\"x\">&'");
        assert_eq!(labels[6], HOSTILE[6]);
        let direction =
            "[2, 3, 4].map((row) => getComputedStyle(element('map-rows').children[row]).direction)";
        assert_eq!(browser.value(direction), json!(["rtl", "rtl", "ltr"]));
        // The long one is cut by dots and whole in its title.
        let cut = "(({ offsetWidth, scrollWidth, title }) => [offsetWidth < 200, scrollWidth > offsetWidth, title])(element('map-rows').children[6])";
        assert_eq!(browser.value(cut), json!([true, true, HOSTILE[6]]));
        let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.value(wide), json!(true));
    }

    #[track_caller]
    fn light_and_dark(browser: &mut Browser) {
        let background = "getComputedStyle(document.body).backgroundColor";
        let media = |browser: &mut Browser, value: &str| {
            let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
            browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        };
        media(browser, "light");
        browser.wait(&format!("{background} === 'rgb(255, 255, 255)'"));
        media(browser, "dark");
        browser.wait(&format!("{background} === 'rgb(21, 24, 28)'"));
        browser.value("document.querySelector('#theme input[value=light]').click()");
        assert_eq!(browser.text(background), "rgb(255, 255, 255)");
        browser.value("document.querySelector('#theme input[value=\"\"]').click()");
        assert_eq!(browser.text(background), "rgb(21, 24, 28)");
    }
}
