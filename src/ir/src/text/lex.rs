//! Reading the text form character by character: position, names, strings, numbers, and errors that say where.

/// The text is no program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was expected and what was found, or why what was found cannot stand there.
    pub message: String,
}

/// A place in the text.
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Offset in the text, for [`Cursor::error_at`].
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to an offset that [`Cursor::position`] gave.
    pub fn rewind(&mut self, position: usize) {
        self.at = position.min(self.text.len());
    }

    /// Skips blanks, line ends and lines that are comments.
    pub fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let line = self.text.get(..self.at).unwrap_or_default();
            let line = line.rsplit('\n').next().unwrap_or_default();
            if !(trimmed.starts_with("//") && line.trim().is_empty()) {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Whether the text is at its end.
    pub fn at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    /// The next character behind blanks.
    pub fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    /// The next word behind blanks, without taking it; empty if there is none.
    pub fn peek_word(&mut self) -> &'t str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Takes the text if it comes next.
    pub fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Takes the word if it comes next, as a whole.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Takes the text or fails.
    pub fn expect(&mut self, token: &str) -> Result<(), TextError> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    /// Takes the word or fails.
    pub fn expect_word(&mut self, word: &str) -> Result<(), TextError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    /// An identifier.
    pub fn word(&mut self, what: &str) -> Result<&'t str, TextError> {
        let word = self.peek_word();
        if word.is_empty() {
            return Err(self.expected(what));
        }
        self.at += word.len();
        Ok(word)
    }

    /// An identifier or a string.
    pub fn name(&mut self, what: &str) -> Result<String, TextError> {
        if self.peek() == Some('"') { self.string(what) } else { self.word(what).map(str::to_string) }
    }

    /// A number without sign.
    pub fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, TextError> {
        let start = self.at;
        let word = self.word(what)?;
        word.parse().map_err(|_| self.error_at(start, format!("expected {what}, found `{word}`")))
    }

    /// An integer with an optional sign.
    pub fn integer(&mut self, what: &str) -> Result<i64, TextError> {
        self.skip();
        let start = self.at;
        let sign = if self.eat("-") { "-" } else { "" };
        let word = self.word(what)?;
        format!("{sign}{word}").parse().map_err(|_| self.error_at(start, format!("expected {what}, found `{word}`")))
    }

    /// A quoted string.
    pub fn string(&mut self, what: &str) -> Result<String, TextError> {
        if self.peek() != Some('"') {
            return Err(self.expected(what));
        }
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + i + 1;
                    return Ok(out);
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some(c @ ('"' | '\\')) => out.push(c),
                    Some('u') => {
                        let hex: String = chars
                            .by_ref()
                            .map(|(_, c)| c)
                            .skip_while(|c| *c == '{')
                            .take_while(|c| *c != '}')
                            .collect();
                        let code = (hex.len() <= 6).then(|| u32::from_str_radix(&hex, 16).ok()).flatten();
                        let code = code.and_then(char::from_u32);
                        out.push(code.ok_or_else(|| self.error_at(start + i, "`\\u{…}` names no character".into()))?);
                    }
                    _ => return Err(self.error_at(start + i, "unknown escape in a string".into())),
                },
                c => out.push(c),
            }
        }
        Err(self.error_at(start, "the string is not closed on its line".into()))
    }

    /// Everything up to one of `ends` outside parentheses and brackets, or the end of the line; trimmed, with the
    /// offset of its first character.
    pub fn raw(&mut self, ends: &[char]) -> (&'t str, usize) {
        self.skip();
        let start = self.at;
        let mut depth = 0usize;
        for (i, c) in self.rest().char_indices() {
            match c {
                '\n' => {
                    self.at = start + i;
                    break;
                }
                c if depth == 0 && ends.contains(&c) => {
                    self.at = start + i;
                    break;
                }
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at = start + i + c.len_utf8();
        }
        (self.text.get(start..self.at).unwrap_or_default().trim_end(), start)
    }

    /// An error here: `what` was expected.
    pub fn expected(&mut self, what: &str) -> TextError {
        self.skip();
        let found: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(24).collect();
        let found = if found.is_empty() { "the end of the text".to_string() } else { format!("`{found}`") };
        self.error_at(self.at, format!("expected {what}, found {found}"))
    }

    /// An error at an offset.
    pub fn error_at(&self, at: usize, message: String) -> TextError {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        TextError { line, column, message }
    }
}
