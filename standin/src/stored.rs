//! What commands leave behind: `r()`, `e()`, `s()`, and matrices with the names of their rows and columns.

use crate::expr::Value;

/// A matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matrix {
    /// Full names of the rows, as many as there are.
    pub(crate) rows: Vec<String>,
    /// Full names of the columns, likewise.
    pub(crate) columns: Vec<String>,
    /// Row after row.
    pub(crate) cells: Vec<f64>,
}

impl Matrix {
    /// A matrix of these names and cells; cells that are missing in the list are zero.
    pub(crate) fn new(rows: Vec<String>, columns: Vec<String>, mut cells: Vec<f64>) -> Self {
        cells.resize(rows.len() * columns.len(), 0.0);
        Self { rows, columns, cells }
    }

    /// The cell at a place, from 0.
    pub(crate) fn get(&self, row: usize, column: usize) -> Option<f64> {
        if column >= self.columns.len() {
            return None;
        }
        self.cells.get(row * self.columns.len() + column).copied()
    }
}

/// One of `r()`, `e()`, `s()`, in the order in which it was stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    values: Vec<(String, Value)>,
    matrices: Vec<(String, Matrix)>,
}

impl Stored {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Stores a number or a string, in the place of what had the name.
    pub(crate) fn insert(&mut self, name: String, value: Value) {
        self.matrices.retain(|(have, _)| *have != name);
        match self.values.iter_mut().find(|(have, _)| *have == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    /// Forgets one of them.
    pub(crate) fn remove(&mut self, name: &str) {
        self.values.retain(|(have, _)| have != name);
        self.matrices.retain(|(have, _)| have != name);
    }

    /// Stores a matrix.
    pub(crate) fn insert_matrix(&mut self, name: &str, matrix: Matrix) {
        self.values.retain(|(have, _)| have != name);
        self.matrices.retain(|(have, _)| have != name);
        self.matrices.push((name.to_owned(), matrix));
    }

    /// Stores all of another one.
    pub(crate) fn extend(&mut self, other: Self) {
        for (name, value) in other.values {
            self.insert(name, value);
        }
        for (name, matrix) in other.matrices {
            self.insert_matrix(&name, matrix);
        }
    }

    /// A number or string.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// A matrix.
    pub(crate) fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.matrices.iter().find(|(have, _)| have == name).map(|(_, matrix)| matrix)
    }

    /// The names of one kind, as `` `: r(scalars)' `` gives them; `None` = there is no such kind.
    pub(crate) fn names(&self, kind: &str) -> Option<String> {
        let values = |number: bool| {
            let fits = |value: &Value| matches!(value, Value::Num(_)) == number;
            self.values.iter().filter(|(_, v)| fits(v)).map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(" ")
        };
        match kind {
            "scalars" => Some(values(true)),
            "macros" => Some(values(false)),
            "matrices" => Some(self.matrices.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(" ")),
            "functions" => Some(String::new()),
            _ => None,
        }
    }

    /// As `return list` and its kin print it.
    pub(crate) fn listing(&self, class: &str) -> String {
        use crate::expr::format::macro_number;
        let label = |name: &str| format!("{:>22}", format!("{class}({name})"));
        let (mut scalars, mut macros, mut matrices) = (String::new(), String::new(), String::new());
        for (name, value) in &self.values {
            match value {
                Value::Num(x) => scalars.push_str(&format!("{} =  {}\n", label(name), macro_number(*x))),
                Value::Str(s) => macros.push_str(&format!("{} : \"{s}\"\n", label(name))),
            }
        }
        for (name, m) in &self.matrices {
            matrices.push_str(&format!("{} :  {} x {}\n", label(name), m.rows.len(), m.columns.len()));
        }
        let parts = [("scalars", scalars), ("macros", macros), ("matrices", matrices)];
        parts.iter().filter(|(_, text)| !text.is_empty()).map(|(title, text)| format!("\n{title}:\n{text}")).collect()
    }
}
