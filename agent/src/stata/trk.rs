//! `stata.trk`: what Stata noted of the packages that were installed into a folder.
//!
//! A package is a block of lines that begin with one letter and a blank: `S` where it came from, `N` its name, `D` when it
//! was installed, `d` its description, `f` a file of it below the folder; `e` ends it. Comments begin with `*`.

/// Most packages that are read.
const PACKAGES: usize = 2_000;
/// Most files of all of them.
const FILES: usize = 10_000;
/// Longest value, characters.
const LONGEST: usize = 1_000;

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name, without `.pkg`.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// When it was installed, as Stata noted it.
    pub installed: String,
    /// Its `Distribution-Date`; empty = it has none.
    pub distributed: String,
    /// Its files, relative to the folder.
    pub files: Vec<String>,
}

/// The packages that a text lists, and whether there are more than are read.
pub fn read(text: &str) -> (Vec<Package>, bool) {
    let (mut all, mut open, mut files) = (Vec::<Package>::new(), None::<Package>, 0);
    for line in text.lines() {
        let Some((letter, value)) = line.split_at_checked(1) else { continue };
        let value: String = value.trim().chars().take(LONGEST).collect();
        match letter {
            "S" => open = Some(Package { source: value, ..Package::default() }),
            "N" => {
                let package = open.get_or_insert_default();
                package.name = value.strip_suffix(".pkg").unwrap_or(&value).to_owned();
            }
            "e" => {
                let Some(package) = open.take().filter(|package| !package.name.is_empty()) else { continue };
                if all.len() >= PACKAGES {
                    return (all, true);
                }
                all.push(package);
            }
            _ => {
                let Some(package) = &mut open else { continue };
                match letter {
                    "D" => package.installed = value,
                    "d" => {
                        let date = value.get(..18).filter(|head| head.eq_ignore_ascii_case("distribution-date:"));
                        if date.is_some() {
                            value[18..].trim().clone_into(&mut package.distributed);
                        }
                    }
                    "f" if files >= FILES => return (all, true),
                    "f" if !value.is_empty() => {
                        files += 1;
                        package.files.push(value);
                    }
                    _ => {}
                }
            }
        }
    }
    (all, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read() {
        let text = "* 00000004\n*! version 1.0.0\n* Do not erase or edit this file\n\n\
                    S http://fmwww.bc.edu/repec/bocode/f\nN ftools.pkg\nD 22 May 2024\nU 1\n\
                    d 'FTOOLS': module to provide alternatives\nd Distribution-Date: 20230625\nd\n\
                    f f/ftools.ado\nf f/ftools.sthlp\ne\n\
                    S /home/ana/my packages\nN own.pkg\nD  1 Jun 2024\nf o/own.ado\ne\n\
                    S http://half\nN half.pkg\nf h/half.ado\n";
        let (found, more) = read(text);
        assert!(!more);
        assert_eq!(found.iter().map(|p| &*p.name).collect::<Vec<_>>(), ["ftools", "own"], "the third has no end");
        let first = &found[0];
        assert_eq!(
            (&*first.source, &*first.installed, &*first.distributed),
            ("http://fmwww.bc.edu/repec/bocode/f", "22 May 2024", "20230625")
        );
        assert_eq!(first.files, ["f/ftools.ado", "f/ftools.sthlp"]);
        assert_eq!((&*found[1].distributed, &*found[1].source), ("", "/home/ana/my packages"));
        for odd in ["", "e\n", "f x\ne\n", "N\ne\n", "S x\ne\n", "\u{fffd}\n", "d Distribution-Dat\u{e9}: x\n"] {
            assert_eq!(read(odd), (vec![], false), "{odd}");
        }
        let many: String = (0..PACKAGES + 1).map(|n| format!("N p{n}.pkg\ne\n")).collect();
        assert!(read(&many).1 && read(&many).0.len() == PACKAGES);
    }
}
