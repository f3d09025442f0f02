//! `{c …}`: characters by name or number.

/// The character, or nothing for a name that is not known.
pub(super) fn named(name: &str) -> Option<char> {
    let fixed = match name {
        "S|" => '$',
        "'g" => '`',
        "-(" => '{',
        ")-" => '}',
        "|" | "-" => return name.chars().next(),
        "+" | "TLC" | "TRC" | "BLC" | "BRC" | "TT" | "BT" | "LT" | "RT" => '+',
        "ss" => 'ß',
        "AE" => 'Æ',
        "ae" => 'æ',
        "!" => '¡',
        "?" => '¿',
        "L-" => '£',
        "Y=" => '¥',
        "E=" => '€',
        "o/" => 'ø',
        "O/" => 'Ø',
        "c," => 'ç',
        "C," => 'Ç',
        "p|" => '¶',
        "so" => '§',
        _ => return by_number(name).or_else(|| accented(name)),
    };
    Some(fixed)
}

fn by_number(name: &str) -> Option<char> {
    let code = match name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => name.parse().ok()?,
    };
    char::from_u32(code).filter(|c| !c.is_control())
}

/// A letter with an accent: `e'`, `u:`, `n~`.
fn accented(name: &str) -> Option<char> {
    const ACCENTED: &[(char, &str, &str)] = &[
        ('\'', "aeiouyAEIOUY", "áéíóúýÁÉÍÓÚÝ"),
        ('g', "aeiouAEIOU", "àèìòùÀÈÌÒÙ"),
        ('^', "aeiouAEIOU", "âêîôûÂÊÎÔÛ"),
        (':', "aeiouyAEIOU", "äëïöüÿÄËÏÖÜ"),
        ('~', "anoANO", "ãñõÃÑÕ"),
        ('o', "aA", "åÅ"),
    ];
    let mut letters = name.chars();
    let (letter, accent) = (letters.next()?, letters.next()?);
    if letters.next().is_some() {
        return None;
    }
    let (_, plain, with) = ACCENTED.iter().find(|(mark, ..)| *mark == accent)?;
    with.chars().nth(plain.chars().position(|c| c == letter)?)
}
