//! Directives within a line.

use super::{
    blocks::Short,
    character,
    directive::{self, Directive},
    reader::Reader,
    span,
    span::{Span, Style},
};

/// Widest space that a directive makes, columns.
const WIDEST: usize = 132;
/// Longest text that is repeated or padded, characters.
const LONGEST: usize = 132;

impl Reader<'_> {
    /// Shows a directive that is no block's; `open` is where its brace stands.
    pub(super) fn inline(&mut self, open: usize, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let number = || d.arguments.trim().parse::<usize>().unwrap_or(0).min(WIDEST);
        match d.name {
            "cmd" | "com" | "inp" | "input" => self.styled(d, Style::Code, depth),
            "bf" | "hi" | "hilite" => self.styled(d, Style::Bold, depth),
            "it" => self.styled(d, Style::Italic, depth),
            "txt" | "text" | "res" | "result" | "err" | "error" | "sf" => self.styled(d, Style::Plain, depth),
            "ul" | "bind" | "reset" | "pstd" | "p_end" | "smcl" | "marker" | "title" => {
                if let Some((start, end)) = d.text {
                    self.range(start, end, style, depth + 1);
                }
            }
            "opt" | "cmdab" => self.option(d, false, depth),
            "opth" => self.option(d, true, depth),
            "help" | "helpb" | "helpi" | "view" | "view_d" => self.topic(d, style, depth),
            "manhelp" | "manhelpi" => self.manual(d, 1, style, depth),
            "manlink" | "manlinki" => self.manual(d, 0, style, depth),
            "mansection" | "manpage" | "dialog" | "dialogb" | "net" | "net_d" | "ado" | "ado_d" | "update"
            | "update_d" | "back" | "search" | "search_d" | "news" | "findalias" | "matacmd" | "netfrom_d" => {
                self.named(d, style, depth);
            }
            "browse" => self.address(d, style, depth),
            "stata" => self.command(d, depth),
            "c" | "char" => match character::named(d.arguments.trim()) {
                Some(c) => self.push(c.encode_utf8(&mut [0; 4]), style),
                None => self.push(d.arguments.trim(), style),
            },
            "space" => self.push(&" ".repeat(number()), style),
            "col" => {
                let blanks = number().saturating_sub(self.width + 1).max(1);
                self.push(&" ".repeat(if self.in_lines() { blanks } else { 2 }), style);
            }
            "hline" | ".-" => {
                let width = if d.arguments.trim().is_empty() { 60 } else { number() };
                self.push(&"-".repeat(width), style);
            }
            "dup" => self.repeated(d, style, depth),
            "lalign" | "ralign" | "center" | "centre" | "rcenter" | "rcentre" | "right" => {
                self.aligned(d, style, depth);
            }
            "break" => self.break_line(),
            "ifin" => self.push("[if] [in]", style),
            "weight" => self.push("[weight]", style),
            "dtype" => self.push("[type]", style),
            "varname" | "varlist" | "varnames" | "vars" | "depvar" | "depvars" | "depvarlist" | "indepvars"
            | "newvar" | "newvarlist" | "anyvars" | "var" => self.placeholder(d, depth),
            _ => self.unknown(open, d, style, depth),
        }
    }

    /// With a text: that text in a style. Without: what follows is in it.
    fn styled(&mut self, d: &Directive<'_>, style: Style, depth: u32) {
        match d.text {
            Some((start, end)) => self.range(start, end, Some(style), depth + 1),
            None => self.mode = style,
        }
    }

    /// `x:yz(arguments)`, whose shortest form is `x`. With `topics`, what is in parentheses may be `topic:text`.
    fn option(&mut self, d: &Directive<'_>, topics: bool, depth: u32) {
        let (start, end) = d.rest;
        let raw = &self.text[start..end];
        let code = Some(Style::Code);
        let head = raw.find(['(', '{']).unwrap_or(raw.len());
        let mut at = start;
        if let Some(colon) = raw[..head].find(':') {
            let short = raw[..colon].trim();
            let rest = &raw[colon + 1..head];
            let rest = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())];
            let whole = format!("{short}{rest}");
            if !short.is_empty() && whole.len() > short.len() && self.shorts.len() < 1000 {
                self.shorts.push(Short { whole, short: short.to_owned() });
            }
            self.range(at, start + colon, code, depth + 1);
            at = start + colon + 1;
            // `{cmdab:x:yz:(arguments)}`
            if let Some(second) = raw[colon + 1..head].find(':').filter(|_| d.name == "cmdab") {
                self.range(at, at + second, code, depth + 1);
                at += second + 1;
            }
        }
        if topics && raw[head..].starts_with('(') {
            let inner = &raw[head + 1..];
            let inner_end = inner.find([')', '{']).unwrap_or(inner.len());
            if let Some(colon) = inner[..inner_end].find(':') {
                self.range(at, start + head + 1, code, depth + 1);
                at = start + head + 1 + colon + 1;
            }
        }
        self.range(at, end, code, depth + 1);
    }

    /// A link to another topic.
    fn topic(&mut self, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let whole = directive::quoted(d.arguments).0;
        let whole = if d.arguments.trim_start().starts_with(['"', '`']) { whole } else { d.arguments.trim() };
        let topic = whole.split(['#', '|']).next().unwrap_or_default().trim();
        let style = match d.name {
            "helpb" => Some(Style::Code),
            "helpi" => Some(Style::Italic),
            _ => style,
        };
        let Some(text) = d.text else {
            let shown = if topic.is_empty() { whole } else { topic };
            return self.push(shown, style);
        };
        let shown = self.capture(text, style, depth);
        self.linked(shown, topic);
    }

    /// Text that leads somewhere, unless it says so itself.
    fn linked(&mut self, shown: Vec<Span>, to: &str) {
        let text = span::text(&shown);
        let same = text.trim().eq_ignore_ascii_case(to) || to == self.name || to.contains(['(', ')', ' ', '\n']);
        self.width += text.chars().count();
        for mut span in shown {
            if !same && !to.is_empty() {
                to.clone_into(&mut span.link);
            }
            self.spans.push(span);
        }
    }

    /// A volume of the manuals and an entry of it; `volume` = which word is the volume.
    fn manual(&mut self, d: &Directive<'_>, volume: usize, style: Option<Style>, depth: u32) {
        let words: Vec<&str> = d.arguments.split_whitespace().collect();
        let Some(name) = words.get(volume) else { return self.named(d, style, depth) };
        self.push(&format!("[{name}] "), style);
        match d.text {
            Some((start, end)) => self.range(start, end, style, depth + 1),
            None if volume == 1 => self.push(words.first().unwrap_or(&""), style),
            None => self.push(&words[1..].join(" "), style),
        }
    }

    /// Its text, or what it names.
    fn named(&mut self, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        match d.text {
            Some((start, end)) => self.range(start, end, style, depth + 1),
            None => self.push(directive::quoted(d.arguments).0, style),
        }
    }

    /// A page of the web.
    fn address(&mut self, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let raw = &self.text[d.rest.0..d.rest.1];
        let (mut address, mut text) = (directive::quoted(d.arguments).0, d.text);
        if !raw.starts_with(['"', '`']) {
            // The colon of the address itself is none of SMCL's.
            let behind = raw.find("://").map_or(0, |at| at + 3);
            let colon = raw[behind..].find(':').map(|at| behind + at);
            address = raw[..colon.unwrap_or(raw.len())].trim();
            text = colon.map(|at| (d.rest.0 + at + 1, d.rest.1));
        }
        let Some(text) = text else { return self.push(address, style) };
        let shown = self.capture(text, style, depth);
        let address = address.trim();
        let short = address.split_once("://").map_or(address, |(_, rest)| rest).trim_start_matches("mailto:");
        let same = span::text(&shown).contains(short.trim_end_matches('/'));
        self.linked(shown, if same { "" } else { address });
    }

    /// A command to click on; it is shown where the text is another.
    fn command(&mut self, d: &Directive<'_>, depth: u32) {
        let code = Some(Style::Code);
        let arguments = d.arguments.trim();
        let command = if arguments.starts_with('"') || arguments.starts_with("`\"") {
            directive::quoted(arguments).0
        } else {
            arguments
        };
        let Some(text) = d.text else {
            // Directives in it are shown.
            let start = d.rest.0 + self.text[d.rest.0..d.rest.1].find(command).unwrap_or(0);
            return self.range(start, start + command.len(), code, depth + 1);
        };
        let shown = self.capture(text, code, depth);
        let words = |text: &str| text.split_whitespace().collect::<String>().trim_start_matches('.').to_owned();
        let same = words(&span::text(&shown)) == words(command);
        self.linked(shown, "");
        if !same {
            self.push(" (", Some(Style::Plain));
            self.push(command, code);
            self.push(")", Some(Style::Plain));
        }
    }

    fn repeated(&mut self, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let times = d.arguments.trim().parse::<usize>().unwrap_or(0).min(WIDEST);
        let Some(text) = d.text else { return };
        let shown = span::text(&self.capture(text, style, depth));
        if shown.chars().count().saturating_mul(times) <= LONGEST * 4 {
            self.push(&shown.repeat(times), style);
        } else {
            self.push(&shown, style);
        }
    }

    fn aligned(&mut self, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let wanted = d.arguments.trim().parse::<usize>().unwrap_or(0).min(WIDEST);
        let shown = self.capture(d.text.unwrap_or(d.rest), style, depth);
        let taken: usize = shown.iter().map(|span| span.text.chars().count()).sum();
        let room = if self.in_lines() { wanted.saturating_sub(taken) } else { 0 };
        let room = if d.name == "right" { 2 } else { room };
        let before = match d.name {
            "lalign" => 0,
            "ralign" | "right" => room,
            _ => room / 2,
        };
        self.push(&" ".repeat(before), style);
        self.linked(shown, "");
        self.push(&" ".repeat(room - before), style);
    }

    /// A word that stands for something, or its text.
    fn placeholder(&mut self, d: &Directive<'_>, depth: u32) {
        let italic = Some(Style::Italic);
        match d.text {
            Some((start, end)) => self.range(start, end, italic, depth + 1),
            None => self.push(d.name, italic),
        }
    }

    /// Its text. Behind a letter, as in a formula or in LaTeX, the braces are text too, as Stata shows them.
    fn unknown(&mut self, open: usize, d: &Directive<'_>, style: Option<Style>, depth: u32) {
        let before = self.text[..open].chars().next_back();
        let formula = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '\\' | '_' | '^' | '}'));
        if formula {
            self.push("{", style);
        }
        self.range(open + 1, d.rest.1, style, depth + 1);
        if formula {
            self.push("}", style);
        }
    }
}
