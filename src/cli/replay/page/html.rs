//! Text on its way into a page.

use crate::cli::text::printable;

/// `text` as it can stand between tags and in an attribute's quotes: whatever a trace says, the browser reads it as text.
/// Characters that turn or hide the text around them are escaped as on a terminal.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_browser_obeys() {
        assert_eq!(escape("a <b c=\"d\" e='f'> & g"), "a &lt;b c=&quot;d&quot; e=&#39;f&#39;&gt; &amp; g");
        assert_eq!(escape("x\u{202e}y\n"), "x\\u{202e}y\\u{a}");
    }
}
