//! What a terminal can show, and text made fit for it.
//!
//! In: an output stream, the wishes of the user, text that strangers wrote. Out: whether to colour,
//! how wide to draw, and text that is as wide as it looks and cannot steer the terminal. Names of
//! spans come from the network: an escape sequence in one must not reach the screen.

use std::io::IsTerminal;

use clap::ValueEnum;
use unicode_width::UnicodeWidthChar;

/// Drawn when the output is a pipe or a file: wide enough for a waterfall, narrow enough to paste.
const COLUMNS_WITHOUT_TERMINAL: usize = 120;

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// Whether `stream` gets colours. A choice made on the command line stands above NO_COLOR, as
/// <https://no-color.org> has it.
pub fn wants_colour(choice: ColourChoice, stream: &impl IsTerminal) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
            stream.is_terminal() && !no_color && !dumb
        }
    }
}

/// Columns of the terminal. One that was never given a size says 0, as those of containers do.
pub fn columns() -> usize {
    terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS_WITHOUT_TERMINAL)
}

/// Whether lines and blocks can be drawn: the locale says UTF-8, or says nothing.
pub fn draws_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// `text` on one line, without anything that steers a terminal: control characters become `·`,
/// line breaks and tabs a space, marks that turn the writing direction vanish.
pub fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| !is_direction_mark(*c))
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that `text` takes; a Chinese character takes two.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// `text` in at most `columns_max` columns, its end replaced by `…` where it is longer.
pub fn fitted(text: &str, columns_max: usize) -> String {
    if width(text) <= columns_max {
        return text.to_owned();
    }
    let mut columns = 0;
    let mut cut = String::new();
    for c in text.chars() {
        columns += char_width(c);
        if columns + 1 > columns_max {
            break;
        }
        cut.push(c);
    }
    if columns_max > 0 {
        cut.push('…');
    }
    cut
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\u{7}b"), "a·[2J·b");
        assert_eq!(harmless("two\nlines\tand\0nul"), "two lines and·nul");
        assert_eq!(harmless("abc\u{202e}fed\u{2066}"), "abcfed");
        assert_eq!(harmless("追踪 ✓"), "追踪 ✓");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(width("追踪"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(fitted("追踪服务", 8), "追踪服务");
        assert_eq!(fitted("追踪服务", 7), "追踪服…");
        assert_eq!(fitted("追踪服务", 6), "追踪…");
        assert_eq!(fitted("checkout", 5), "chec…");
        assert_eq!(fitted("checkout", 1), "…");
        assert_eq!(fitted("checkout", 0), "");
    }
}
