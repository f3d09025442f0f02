//! Text to tree. The parser stops where no operator follows and says where, because commands continue there.

use super::{ExprError, MISSING, missing};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// A number.
    Num(f64),
    /// A string.
    Str(String),
    /// A variable, scalar, or a name like `_n`.
    Name(String),
    /// `name[index]`.
    Index(String, Box<Expr>),
    /// `f(a, b)`.
    Call(String, Vec<Expr>),
    /// `r(N)`, `c(pwd)` and their like: class and name.
    Result(String, String),
    /// A prefix operator: `-` or `!`.
    Unary(char, Box<Expr>),
    /// An infix operator by its spelling.
    Binary(&'static str, Box<Expr>, Box<Expr>),
}

/// Parses all of `text`.
///
/// # Errors
/// Anything left over is `invalid syntax`.
pub(crate) fn parse(text: &str) -> Result<Expr, ExprError> {
    let (expr, used) = parse_prefix(text)?;
    if text[used..].trim().is_empty() { Ok(expr) } else { Err(trailing(text[used..].trim())) }
}

/// Stata's text for something after an expression's end.
fn trailing(rest: &str) -> ExprError {
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if rest.starts_with(')') {
        ExprError::new(132, "too many ')' or ']'")
    } else if word.is_empty() {
        ExprError::syntax()
    } else {
        ExprError::new(198, format!("invalid '{word}' "))
    }
}

/// Parses as much of `text` as is an expression; returns it and the number of bytes used.
///
/// # Errors
/// `invalid syntax` and its relatives.
pub(crate) fn parse_prefix(text: &str) -> Result<(Expr, usize), ExprError> {
    let mut p = Parser { text, at: 0, depth: 0 };
    let expr = p.binary(0)?;
    Ok((expr, p.at))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Infix operators by how tightly they bind; within a row the longer spelling comes first.
const LEVELS: [&[(&str, &str)]; 6] = [
    &[("|", "|")],
    &[("&", "&")],
    &[("==", "=="), ("!=", "!="), ("~=", "!="), ("<=", "<="), (">=", ">="), ("<", "<"), (">", ">")],
    &[("+", "+"), ("-", "-")],
    &[("*", "*"), ("/", "/")],
    &[("^", "^")],
];

/// Nesting beyond this is refused rather than allowed to exhaust the stack.
const MAX_DEPTH: usize = 200;

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        if self.rest().starts_with(token) {
            self.at += token.len();
            return true;
        }
        false
    }

    fn binary(&mut self, level: usize) -> Result<Expr, ExprError> {
        let Some(ops) = LEVELS.get(level) else { return self.unary() };
        // Unary minus binds less tightly than `^` and more tightly than `*`.
        let mut left = if level == 5 { self.power_operand()? } else { self.binary(level + 1)? };
        loop {
            let before = self.at;
            self.skip();
            let Some((spelling, op)) = ops.iter().find(|(s, _)| self.rest().starts_with(s)) else {
                self.at = before;
                return Ok(left);
            };
            // `a = b` is an assignment's business, and `||` belongs to graphs.
            if *spelling == "|" && self.rest().starts_with("||") {
                self.at = before;
                return Ok(left);
            }
            self.at += spelling.len();
            let right = if level == 5 { self.unary()? } else { self.binary(level + 1)? };
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn power_operand(&mut self) -> Result<Expr, ExprError> {
        self.skip();
        if self.rest().starts_with('-') {
            self.at += 1;
            return self.deeper(|p| Ok(Expr::Unary('-', Box::new(p.binary(5)?))));
        }
        if self.rest().starts_with('+') {
            self.at += 1;
            return self.deeper(|p| p.binary(5));
        }
        self.unary()
    }

    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        if self.depth >= MAX_DEPTH {
            return Err(ExprError::new(130, "expression too long"));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    fn unary(&mut self) -> Result<Expr, ExprError> {
        self.skip();
        let rest = self.rest();
        if (rest.starts_with('!') || rest.starts_with('~')) && !rest[1..].starts_with('=') {
            self.at += 1;
            return self.deeper(|p| Ok(Expr::Unary('!', Box::new(p.unary()?))));
        }
        if rest.starts_with('-') {
            self.at += 1;
            return self.deeper(|p| Ok(Expr::Unary('-', Box::new(p.unary()?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, ExprError> {
        self.skip();
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return Err(ExprError::syntax()) };
        match c {
            '(' => {
                self.at += 1;
                let inner = self.deeper(|p| p.binary(0))?;
                if !self.eat(")") {
                    return Err(ExprError::new(132, "too few ')' or ']'"));
                }
                Ok(inner)
            }
            '"' => {
                let Some(end) = rest[1..].find('"') else { return Err(ExprError::new(132, "too few quotes")) };
                let s = rest[1..=end].to_owned();
                self.at += end + 2;
                Ok(Expr::Str(s))
            }
            '`' if rest.starts_with("`\"") => self.compound_string(),
            '.' | '0'..='9' => self.number(),
            c if c.is_alphabetic() || c == '_' => self.name(),
            _ => Err(ExprError::new(
                198,
                if c == '\'' || c == '`' { "invalid syntax".into() } else { format!("{c} invalid name") },
            )),
        }
    }

    fn compound_string(&mut self) -> Result<Expr, ExprError> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let (mut depth, mut i) = (0usize, 0);
        while i + 1 < bytes.len() {
            match (bytes[i], bytes[i + 1]) {
                (b'`', b'"') => {
                    depth += 1;
                    i += 2;
                }
                (b'"', b'\'') => {
                    depth -= 1;
                    i += 2;
                    if depth == 0 {
                        let s = rest[2..i - 2].to_owned();
                        self.at += i;
                        return Ok(Expr::Str(s));
                    }
                }
                _ => i += 1,
            }
        }
        Err(ExprError::new(132, "too few quotes"))
    }

    fn number(&mut self) -> Result<Expr, ExprError> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        if bytes[0] == b'.' && !bytes.get(1).is_some_and(u8::is_ascii_digit) {
            let letter = bytes.get(1).copied().filter(u8::is_ascii_lowercase);
            let word = bytes.get(2).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            if let Some(l) = letter.filter(|_| !word) {
                self.at += 2;
                return Ok(Expr::Num(missing(l - b'a' + 1)));
            }
            self.at += 1;
            return Ok(Expr::Num(MISSING));
        }
        let mut i = 0;
        while bytes.get(i).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            i += 1;
        }
        if bytes.get(i).is_some_and(|b| matches!(b, b'e' | b'E' | b'd' | b'D')) {
            let mut j = i + 1;
            if bytes.get(j).is_some_and(|b| matches!(b, b'+' | b'-')) {
                j += 1;
            }
            if bytes.get(j).is_some_and(u8::is_ascii_digit) {
                while bytes.get(j).is_some_and(u8::is_ascii_digit) {
                    j += 1;
                }
                i = j;
            }
        }
        if bytes.get(i).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
            return Err(ExprError::new(198, format!("{word} invalid name")));
        }
        let literal = rest[..i].replace(['d', 'D'], "e");
        let x = literal.parse().map_err(|_| ExprError::new(198, format!("{} invalid name", &rest[..i])))?;
        self.at += i;
        Ok(Expr::Num(x))
    }

    fn name(&mut self) -> Result<Expr, ExprError> {
        let rest = self.rest();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        self.at += name.len();
        if self.rest().starts_with('(') {
            if matches!(name.as_str(), "r" | "e" | "s" | "c") {
                let Some(end) = self.rest().find(')') else {
                    return Err(ExprError::new(132, "too few ')' or ']'"));
                };
                let inner = self.rest()[1..end].trim().to_owned();
                self.at += end + 1;
                return Ok(Expr::Result(name, inner));
            }
            self.at += 1;
            let args = self.deeper(Self::arguments)?;
            return Ok(Expr::Call(name, args));
        }
        if self.rest().starts_with('[') {
            self.at += 1;
            let index = self.deeper(|p| p.binary(0))?;
            // A cell of a matrix.
            if self.eat(",") {
                let column = self.deeper(|p| p.binary(0))?;
                if !self.eat("]") {
                    return Err(ExprError::new(132, "too few ')' or ']'"));
                }
                return Ok(Expr::Call("el".to_owned(), vec![Expr::Name(name), index, column]));
            }
            if !self.eat("]") {
                return Err(ExprError::new(132, "too few ')' or ']'"));
            }
            return Ok(Expr::Index(name, Box::new(index)));
        }
        Ok(Expr::Name(name))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ExprError> {
        let mut args = Vec::new();
        if self.eat(")") {
            return Ok(args);
        }
        loop {
            args.push(self.binary(0)?);
            if self.eat(")") {
                return Ok(args);
            }
            if !self.eat(",") {
                return Err(ExprError::new(132, "too few ')' or ']'"));
            }
        }
    }
}
