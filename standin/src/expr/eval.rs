//! Tree to value, for one observation or none.

use super::functions;
use super::parse::{self, Expr};
use super::{ExprError, MISSING, Value, is_missing};

/// What an expression can see.
pub(crate) trait Env {
    /// The value of a variable (in observation `obs`, counted from 0) or scalar; `None` if there is no such name.
    fn name(&self, name: &str, obs: Option<usize>) -> Option<Value>;
    /// `c()`, `r()`, `e()`, `s()`; of these `e(sample)` has a value for each observation.
    fn result(&self, class: &str, name: &str, obs: Option<usize>) -> Value;
    /// Number of observations.
    fn count(&self) -> usize;
    /// The next uniform random number in (0, 1).
    fn uniform(&self) -> f64;
    /// A function that reads the whole table, if `name` is one of those.
    fn table_function(&self, name: &str, args: &[Expr], obs: Option<usize>) -> Option<Result<Value, ExprError>>;
}

/// Evaluates text outside of any observation.
///
/// # Errors
/// As Stata's: unknown names are r(111), wrong types r(109), bad syntax r(198).
pub(crate) fn text(env: &dyn Env, text: &str) -> Result<Value, ExprError> {
    value(env, &parse::parse(text)?, None)
}

/// Evaluates a tree for observation `obs`.
///
/// # Errors
/// As [`text`].
pub(crate) fn value(env: &dyn Env, expr: &Expr, obs: Option<usize>) -> Result<Value, ExprError> {
    Ok(match expr {
        Expr::Num(x) => Value::Num(*x),
        Expr::Str(s) => Value::Str(s.clone()),
        Expr::Name(n) => env.name(n, obs).ok_or_else(|| ExprError::new(111, format!("{n} not found")))?,
        Expr::Result(class, name) => env.result(class, name, obs),
        Expr::Index(name, index) if matches!(name.as_str(), "_b" | "_se") => {
            let known = env.table_function(name, std::slice::from_ref(index), obs);
            known.unwrap_or_else(|| Err(ExprError::syntax()))?
        }
        Expr::Index(name, index) => subscript(env, name, index, obs)?,
        Expr::Unary(op, inner) => match (op, value(env, inner, obs)?) {
            (_, Value::Str(_)) => return Err(ExprError::types()),
            ('-', Value::Num(x)) => Value::Num(if is_missing(x) { x } else { -x }),
            (_, Value::Num(x)) => Value::Num(f64::from(x == 0.0)),
        },
        Expr::Binary(op, a, b) => binary(op, value(env, a, obs)?, value(env, b, obs)?)?,
        Expr::Call(name, args) => {
            if let Some(v) = env.table_function(name, args, obs) {
                return v;
            }
            let mut values = Vec::with_capacity(args.len());
            for a in args {
                values.push(value(env, a, obs)?);
            }
            functions::call(name, &values, &|| env.uniform())?
        }
    })
}

fn subscript(env: &dyn Env, name: &str, index: &Expr, obs: Option<usize>) -> Result<Value, ExprError> {
    let Some(first) = env.name(name, Some(0)) else {
        return Err(ExprError::new(111, format!("{name} not found")));
    };
    let Value::Num(i) = value(env, index, obs)? else { return Err(ExprError::types()) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    // range checked here
    let at = (!is_missing(i) && i >= 1.0 && i < env.count() as f64 + 1.0).then(|| i as usize - 1);
    Ok(match (at.and_then(|at| env.name(name, Some(at))), first) {
        (Some(v), _) => v,
        (None, Value::Str(_)) => Value::Str(String::new()),
        (None, Value::Num(_)) => Value::Num(MISSING),
    })
}

fn binary(op: &str, a: Value, b: Value) -> Result<Value, ExprError> {
    let flag = |b: bool| Ok(Value::Num(f64::from(b)));
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => match op {
            "+" => Ok(Value::Str(a + &b)),
            "==" => flag(a == b),
            "!=" => flag(a != b),
            "<" => flag(a < b),
            ">" => flag(a > b),
            "<=" => flag(a <= b),
            ">=" => flag(a >= b),
            _ => Err(ExprError::types()),
        },
        (Value::Num(a), Value::Num(b)) => match op {
            "==" => flag(same(a, b)),
            "!=" => flag(!same(a, b)),
            "<" => flag(a < b),
            ">" => flag(a > b),
            "<=" => flag(a <= b),
            ">=" => flag(a >= b),
            "&" => flag(a != 0.0 && b != 0.0),
            "|" => flag(a != 0.0 || b != 0.0),
            _ if is_missing(a) || is_missing(b) => Ok(Value::Num(MISSING)),
            "+" => Ok(number(a + b)),
            "-" => Ok(number(a - b)),
            "*" => Ok(number(a * b)),
            "/" => Ok(number(if b == 0.0 { MISSING } else { a / b })),
            _ => Ok(number(a.powf(b))),
        },
        _ => Err(ExprError::types()),
    }
}

#[allow(clippy::float_cmp)] // Stata's == is exact
fn same(a: f64, b: f64) -> bool {
    a == b
}

/// What arithmetic yields where there is no number is missing.
pub(crate) fn number(x: f64) -> Value {
    Value::Num(if x.is_finite() && x.abs() < MISSING || is_missing(x) && x.is_finite() { x } else { MISSING })
}
