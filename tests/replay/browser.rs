//! The page in a real browser. There has to be one where `CI` is `true`; elsewhere the test says why it stops.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::command::{L1, replay, text};
use crate::common::unpack_to_file;
use crate::page::read;

/// What the browser is called where people have it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Measures the page as a reader sees it, and leaves what it found where `--dump-dom` shows it. The page itself has no
/// script, and forbids them: this goes into a copy that allows it.
const MEASURE: &str = r#"<script>
const boxes = [...document.querySelectorAll('figure.plot > svg')].map(svg => {
  const drawn = [...svg.querySelectorAll(':scope > path')].map(path => path.getBBox());
  const frame = svg.getBoundingClientRect();
  return {title: svg.parentElement.querySelector('h3').textContent, width: frame.width, height: frame.height,
          drawn: Math.max(0, ...drawn.map(box => box.width))};
});
const styles = selector => [...document.querySelectorAll(selector)].map(cell => getComputedStyle(cell));
document.documentElement.setAttribute('data-found', JSON.stringify({
  boxes,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  fetched: performance.getEntriesByType('resource').map(entry => entry.name),
  numbers: [...new Set(styles('.numbers td, .numbers thead th + th').map(style => style.textAlign))],
  indents: ['tbody th:not([class])', '.in1', '.in2'].map(rows => parseFloat(styles('.numbers ' + rows)[0]?.paddingLeft)),
  background: getComputedStyle(document.body).backgroundColor,
}));
</script>"#;

fn browser() -> Option<&'static str> {
    let runs = |name: &&str| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = NAMES.into_iter().find(runs);
    if found.is_none() {
        let is_needed = std::env::var("CI").as_deref() == Ok("true");
        assert!(!is_needed, "CI needs a browser: apt-get install chromium");
        println!("skipped: there is no chromium on this machine (apt-get install chromium)");
    }
    found
}

/// Opens a page in a window of this width, with a profile of its own, and prints what has become of it.
fn open(browser: &str, page: &Path, width: u32, more: &[&str]) -> Output {
    let profile = tempfile::tempdir().expect("a folder");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("the browser runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// What the script in the page found.
fn found(dom: &str) -> Value {
    let (_, rest) = dom.split_once("data-found=\"").expect("the script ran");
    let (found, _) = rest.split_once('"').expect("an attribute");
    serde_json::from_str(&found.replace("&quot;", "\"").replace("&amp;", "&")).expect("JSON")
}

#[test]
fn the_page_is_whole_in_a_browser() {
    let Some(browser) = browser() else { return };
    let trace = unpack_to_file("traces/deterministic.lct");
    let l2 = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv -q --html page.html --l2-adapter {l2}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    let page = read(folder.path(), "page.html");
    let output = open(browser, &folder.path().join("page.html"), 1200, &[]);
    let (dom, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(!errors.contains("CONSOLE"), "{errors}");
    assert_eq!(
        dom.matches("<svg").count(),
        page.matches("<svg").count(),
        "the browser reads it as it is written"
    );

    let (before, after) = page.split_once("<meta http-equiv").expect("what forbids scripts");
    let (_, after) = after.split_once('>').expect("its end");
    let measured = format!("{before}{after}").replace("</body>", &format!("{MEASURE}</body>"));
    let copy = folder.path().join("measured.html");
    std::fs::write(&copy, measured).expect("room");
    for (width, more) in [(1200, [].as_slice()), (400, &["--blink-settings=preferredColorScheme=0"])] {
        let found = found(&text(&open(browser, &copy, width, more).stdout));
        let boxes = found["boxes"].as_array().expect("plots");
        assert!(boxes.len() >= 6, "{found}");
        for plot in boxes {
            let size = |side: &str| plot[side].as_f64().expect("a number");
            assert!(
                size("width") > 300.0 && size("height") > 150.0 && size("drawn") > 10.0,
                "{width}: {plot}"
            );
        }
        assert_eq!(
            (&found["overflow"], &found["fetched"]),
            (&Value::from(0), &Value::Array(Vec::new())),
            "{width}"
        );
        assert_eq!(found["numbers"], serde_json::json!(["right"]), "{found}");
        let indents = found["indents"].as_array().expect("a list");
        let indents: Vec<_> =
            indents.iter().map(|pixels| pixels.as_f64().expect("rows at each depth")).collect();
        assert!(indents[0] + 10.0 < indents[1] && indents[1] + 10.0 < indents[2], "{found}");
        let is_dark = found["background"] == "rgb(21, 23, 26)";
        assert_eq!(is_dark, !more.is_empty(), "{found}");
    }
}
