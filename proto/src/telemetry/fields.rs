//! The fields of a log line, harmless: a value is shown by [`visible::line`], so that it never starts a line of its
//! own.

use std::{error::Error, fmt};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::{visible, words};

/// `message field=value field="text"`, as the library writes it, with every hidden character written out.
#[derive(Debug)]
pub(super) struct Shown;

impl<'w> FormatFields<'w> for Shown {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, first: true, written: Ok(()) };
        fields.record(&mut line);
        line.written
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    first: bool,
    written: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_char(' ')?;
        }
        if field.name() != "message" {
            let name = field.name().trim_start_matches("r#");
            if self.writer.has_ansi_escapes() {
                write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?;
            } else {
                write!(self.writer, "{name}=")?;
            }
        }
        self.writer.write_str(&visible::line(&value.to_string()))
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{}", words::chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.written.is_ok() {
            self.written = self.put(field, format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{Registry, layer::SubscriberExt, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it\nfailed")]
    struct Failed(#[source] io::Error);

    fn logged(safe: bool) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let layer = tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(move || to.clone());
        let layer: Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> =
            if safe { Box::new(layer.fmt_fields(Shown)) } else { Box::new(layer) };
        tracing::subscriber::with_default(registry().with(layer), || {
            let wild = "x\nforged\u{1b}[2J\u{9b}\u{202e}";
            let error = Failed(io::Error::other("so\nforged"));
            let span = tracing::info_span!("tool", name = %wild);
            span.in_scope(|| {
                tracing::info!(text = wild, shown = %wild, n = 3, error = &error as &dyn Error, "said {wild}");
            });
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_value_begins_a_line() {
        let text = logged(true);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(visible::is_hidden), "{text:?}");
        for part in [
            "tool{name=x\\nforged\\x1b[2J\\x9b\\u{202e}}",
            "said x\\nforged\\x1b[2J",
            "shown=x\\nforged",
            "text=\"x\\nforged",
            "n=3",
            "error=it\\nfailed: so\\nforged",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // The control: as the library writes fields.
        assert!(logged(false).lines().any(|line| line.starts_with("forged")), "{}", logged(false));
    }
}
