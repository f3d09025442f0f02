//! From words to an expression whose names and types are right.

use super::{
    super::{head::Head, varlist},
    functions::{self, Function},
    lex::{self, Token},
};

/// Deepest nesting.
const DEEPEST: u32 = 64;

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    /// A variable that holds numbers.
    Variable(usize),
    /// One that holds text.
    TextVariable(usize),
    /// `_n`.
    Observation,
    /// `_N`.
    Observations,
    Not(Box<Expr>),
    Negative(Box<Expr>),
    /// Of numbers.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// Of texts: a comparison.
    Compare(&'static str, Box<Expr>, Box<Expr>),
    Join(Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
}

impl Expr {
    pub(super) fn is_text(&self) -> bool {
        match self {
            Self::Text(_) | Self::TextVariable(_) | Self::Join(..) => true,
            Self::Call(function, _) => function.gives_text,
            _ => false,
        }
    }

    fn what(&self) -> &'static str {
        if self.is_text() { "text" } else { "a number" }
    }
}

/// The operators, from those that bind least.
const LEVELS: [&[&str]; 5] = [&["|"], &["&"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/"]];

/// An expression and the variables in it.
pub(super) fn parse(head: &Head, text: &str) -> Result<(Expr, Vec<usize>), String> {
    let tokens = lex::tokens(text)?;
    let mut parser = Parser { head, tokens: &tokens, at: 0, depth: 0, uses: Vec::new() };
    let expr = parser.level(0)?;
    match parser.tokens.get(parser.at) {
        None if expr.is_text() => Err("it is a text, and not a condition: compare it, as in make == \"VW\"".to_owned()),
        None => Ok((expr, parser.uses)),
        Some(Token::Name(word)) if matches!(word.as_str(), "and" | "or" | "not" | "in") => {
            Err(format!("`{word}` is no operator: and is `&`, or is `|`, not is `!`; a range goes into `in`"))
        }
        Some(token) => Err(format!("{} is not expected there", shown(token))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(x) => format!("the number {x}"),
        Token::Text(text) => format!("the text \"{text}\""),
        Token::Name(name) => format!("the name {name}"),
        Token::Op(op) => format!("`{op}`"),
    }
}

struct Parser<'a> {
    head: &'a Head,
    tokens: &'a [Token],
    at: usize,
    depth: u32,
    uses: Vec<usize>,
}

impl Parser<'_> {
    fn takes(&mut self, op: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Op(next)) if *next == op);
        self.at += usize::from(is);
        is
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} levels deep"));
        }
        let done = inner(self);
        self.depth -= 1;
        done
    }

    fn level(&mut self, n: usize) -> Result<Expr, String> {
        let Some(ops) = LEVELS.get(n) else { return self.unary() };
        let mut left = self.level(n + 1)?;
        // A long chain nests the left side: it is bounded as parentheses are.
        let mut chain = 0;
        while let Some(op) = ops.iter().copied().find(|op| self.takes(op)) {
            chain += 1;
            if chain > 500 {
                return Err("it has more than 500 parts: use inlist()".to_owned());
            }
            let right = self.level(n + 1)?;
            left = self.binary(op, left, right)?;
        }
        Ok(left)
    }

    fn binary(&self, op: &'static str, left: Expr, right: Expr) -> Result<Expr, String> {
        let (l, r) = (left.is_text(), right.is_text());
        let (left, right) = (Box::new(left), Box::new(right));
        match op {
            "==" | "!=" | "<" | "<=" | ">" | ">=" if l && r => Ok(Expr::Compare(op, left, right)),
            "+" if l && r => Ok(Expr::Join(left, right)),
            _ if !l && !r => Ok(Expr::Binary(op, left, right)),
            _ => {
                let hint = match [&*left, &*right].into_iter().find_map(|side| self.labelled(side)) {
                    Some(name) => {
                        format!("; {name} holds numbers with labels: action codebook shows which number is which")
                    }
                    None => String::new(),
                };
                Err(format!("`{op}` is between {} and {}, and needs two of a kind{hint}", left.what(), right.what()))
            }
        }
    }

    fn labelled(&self, side: &Expr) -> Option<&str> {
        let Expr::Variable(n) = side else { return None };
        let variable = &self.head.variables[*n];
        (!variable.labels.is_empty()).then_some(variable.name.as_str())
    }

    fn unary(&mut self) -> Result<Expr, String> {
        for (op, not) in [("!", true), ("-", false), ("+", false)] {
            if self.takes(op) {
                let inner = self.deeper(Self::unary)?;
                if inner.is_text() {
                    return Err(format!("`{op}` is before text, and needs a number"));
                }
                return Ok(match (op, not) {
                    ("+", _) => inner,
                    (_, true) => Expr::Not(Box::new(inner)),
                    _ => Expr::Negative(Box::new(inner)),
                });
            }
        }
        let base = self.primary()?;
        if self.takes("^") {
            let power = self.deeper(Self::unary)?;
            return self.binary("^", base, power);
        }
        Ok(base)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let token = self.tokens.get(self.at).ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Number(x) => Ok(Expr::Number(*x)),
            Token::Text(text) => Ok(Expr::Text(text.clone())),
            Token::Op("(") => {
                let inner = self.deeper(|parser| parser.level(0))?;
                if self.takes(")") { Ok(inner) } else { Err("a parenthesis is not closed".to_owned()) }
            }
            Token::Op(op) => Err(format!("`{op}` is not expected there")),
            Token::Name(name) if self.takes("(") => self.call(name),
            Token::Name(name) => match name.as_str() {
                "_n" => Ok(Expr::Observation),
                "_N" => Ok(Expr::Observations),
                _ => {
                    let n = varlist::one(self.head, name).map_err(|refused| refused.to_string())?;
                    if !self.uses.contains(&n) {
                        self.uses.push(n);
                    }
                    let is_text = self.head.variables[n].kind.is_text();
                    Ok(if is_text { Expr::TextVariable(n) } else { Expr::Variable(n) })
                }
            },
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr, String> {
        let function = functions::find(name)
            .ok_or_else(|| format!("there is no function {name}() here: there are {}", functions::names()))?;
        let mut args = Vec::new();
        while !self.takes(")") {
            if !args.is_empty() && !self.takes(",") {
                return Err(format!("{name}() is not closed"));
            }
            args.push(self.deeper(|parser| parser.level(0))?);
        }
        functions::check(&function, &args).map_err(|why| format!("{name}(): {why}"))?;
        Ok(Expr::Call(function, args))
    }
}
