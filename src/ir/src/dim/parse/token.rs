//! Tokens of the Python expression subset in which all three notations are written.

use super::ParseError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i128),
    Float(f64),
    Str(String),
    Name(String),
    /// An operator or bracket, one of [`OPERATORS`].
    Op(&'static str),
    End,
}

/// Longest first, so that `**` is not read as two `*`.
const OPERATORS: [&str; 27] = [
    "**", "//", "==", "!=", "<=", ">=", "<<", ">>", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", ",", ".",
    "&", "|", "~", "=", "^", ":",
];

/// Splits the text into tokens with their byte offsets; the last is [`Token::End`].
pub(super) fn tokenize(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(first) = rest.chars().next() else {
            break;
        };
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            tokens.push((Token::Name(part(rest, length)), at));
            at += length;
        } else if first.is_ascii_digit() {
            let (token, length) = number(rest, at)?;
            tokens.push((token, at));
            at += length;
        } else if first == '\'' || first == '"' {
            let (content, length) = string(rest, first, at)?;
            tokens.push((Token::Str(content), at));
            at += length;
        } else if let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            tokens.push((Token::Op(op), at));
            at += op.len();
        } else {
            return Err(ParseError::syntax(at, format!("unexpected '{first}'")));
        }
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

/// Bytes at the start whose (ASCII) characters satisfy the condition.
fn run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

fn part(text: &str, length: usize) -> String {
    text.get(..length).unwrap_or_default().to_owned()
}

fn number(text: &str, at: usize) -> Result<(Token, usize), ParseError> {
    let digits = |from: usize| run(text.get(from..).unwrap_or_default(), |c| c.is_ascii_digit());
    let mut length = digits(0);
    let whole = length;
    if text.get(length..).is_some_and(|rest| rest.starts_with('.')) {
        length += 1 + digits(length + 1);
    }
    if text.get(length..).is_some_and(|rest| rest.starts_with(['e', 'E'])) {
        let sign = text.get(length + 1..).is_some_and(|rest| rest.starts_with(['+', '-']));
        let exponent = length + 1 + usize::from(sign);
        let count = digits(exponent);
        if count > 0 {
            length = exponent + count;
        }
    }
    let literal = part(text, length);
    let bad = || ParseError::syntax(at, format!("the number {literal} is out of range"));
    let token = if length == whole {
        Token::Int(literal.parse().map_err(|_| bad())?)
    } else {
        Token::Float(literal.parse().map_err(|_| bad())?)
    };
    Ok((token, length))
}

/// A quoted string with Python's common escapes; returns the content and the length with quotes.
fn string(text: &str, quote: char, at: usize) -> Result<(String, usize), ParseError> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        if c == quote {
            return Ok((content, offset + 1));
        }
        if c != '\\' {
            content.push(c);
            continue;
        }
        let escape = chars.next().map(|(_, c)| c);
        let digits = match escape {
            Some('n') => {
                content.push('\n');
                continue;
            }
            Some('t') => {
                content.push('\t');
                continue;
            }
            Some(c @ ('\\' | '\'' | '"')) => {
                content.push(c);
                continue;
            }
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(ParseError::syntax(at + offset, "unknown escape")),
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
            let digit = digit.ok_or_else(|| ParseError::syntax(at + offset, "bad escape"))?;
            code = code.wrapping_shl(4) | digit;
        }
        let c = char::from_u32(code).ok_or_else(|| ParseError::syntax(at + offset, "bad escape"))?;
        content.push(c);
    }
    Err(ParseError::syntax(at, "unterminated string"))
}
