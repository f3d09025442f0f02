//! What conditions mean, and what is refused with which words.

use super::*;

#[test]
fn conditions_mean_what_stata_means() {
    let (_folder, root) = folder();
    let path = root.join("cars.dta");
    cars(&path, Release::V118, ByteOrder::LittleEndian);
    let check = |condition: &str, want: &str| {
        let parts = ask(&root, &request(&path, wire::DataAction::Rows, "price", condition, ""));
        let found = match parts {
            Ok(parts) => lines(&parts)[1..].iter().map(|line| &line[..1]).collect::<String>(),
            Err(refused) => refused.to_string(),
        };
        assert!(found == want || (want.len() > 9 && found.contains(want)), "{condition}: {found}");
    };
    // A missing value is larger than any number.
    check("price > 5000", "234");
    check("price > 5000 & !missing(price)", "23");
    check("if price < .", "1235");
    check("price == .b", "4");
    check("price > .a", "4");
    check("price != .b & price", "1235");
    check("foreign == 1 | make == \"AMC Concord\"", "123");
    check("(foreign == 1) & !(price >= 6000)", "3");
    check("inlist(foreign, 0, 7)", "15");
    check("inlist(make, \"AMC Concord\", \"\")", "14");
    check("inrange(price, 4099, 5899)", "135");
    check("inrange(price, ., 4500)", "1");
    check("missing(make, sold)", "24");
    check("sold == td(05mar2024)", "1");
    check("year(sold) == 2024 & month(sold) == 3", "1");
    check("sold >= td(1jan1960) & sold < .", "13");
    check("_n == 2 | _n == _N", "25");
    check("mod(_n, 2) == 0", "24");
    check("ratio == 3.2", "");
    check("ratio == float(3.2)", "23");
    check("price / 0 == .", "12345");
    check("-price < -9000", "2");
    check("2 ^ 3 ^ 1 == 8 & -2^2 == -4", "12345");
    check("strpos(make, \"i\") > 0", "25");
    check("strmatch(make, \"*5*\")", "2");
    check("substr(make, 1, 3) == \"AMC\" | lower(make) == \"audi 5000\"", "12");
    check("strlen(note) > 3", "3");
    check("wei == 2830", "2");
    check("price > 1e3", "12345");
    for (wrong, why) in [
        ("price = 1", "write `==`"),
        ("price == \"a\"", "needs two of a kind"),
        ("foreign == \"Foreign\"", "holds numbers with labels"),
        ("prise > 1", "did you mean price?"),
        ("price > 1 and foreign", "and is `&`"),
        ("price > 1 && foreign", "`&&` is written `&`"),
        ("make", "compare it"),
        ("(price > 1", "not closed"),
        ("price >", "ends too early"),
        ("td(31feb2024) < sold", "is no date"),
        ("regexx(make)", "no function regexx()"),
        ("inlist(price, \"a\")", "all numbers or all texts"),
        ("\"abc", "no closing quote"),
        ("price @ 1", "means nothing here"),
    ] {
        check(wrong, why);
    }
    check(&"(".repeat(500), "levels deep");
    check(&format!("{}1", "!".repeat(3_000)), "levels deep");
    check(&format!("1{}", "+1".repeat(1_500)), "more than 500 parts");
}

#[test]
fn what_an_action_does_not_have_is_refused_and_not_left_out() {
    let (_folder, root) = folder();
    let path = root.join("cars.dta");
    cars(&path, Release::V118, ByteOrder::LittleEndian);
    let check = |request: wire::DataRequest, want: &str| {
        let refused = ask(&root, &request).map(|parts| lines(&parts)).unwrap_err();
        assert!(matches!(&refused, Refused::Asked(words) if words.contains(want)), "{refused}");
    };
    check(request(&path, wire::DataAction::Describe, "", "price > 1", ""), "`if` and `in` mean nothing to it");
    check(request(&path, wire::DataAction::Describe, "", "", "1/2"), "`if` and `in` mean nothing to it");
    let none = request(&path, wire::DataAction::Tabulate, "", "", "");
    check(wire::DataRequest { variables: Vec::new(), ..none }, "needs the name of a variable, or of two");
    check(request(&path, wire::DataAction::Tabulate, "make price ratio", "", ""), "one or two variables, not 3");
}

#[test]
fn what_cannot_be_read_is_refused_with_a_sentence() {
    let (_folder, root) = folder();
    let good = root.join("good.dta");
    cars(&good, Release::V118, ByteOrder::LittleEndian);
    let bytes = fs::read(&good).unwrap();
    let check = |name: &str, content: &[u8], want: &str| {
        let path = root.join(name);
        fs::write(&path, content).unwrap();
        for action in [wire::DataAction::Describe, wire::DataAction::Rows] {
            match ask(&root, &request(&path, action, "", "", "")) {
                Err(refused) => assert!(refused.to_string().contains(want), "{name}: {refused}"),
                Ok(parts) => assert!(want.is_empty(), "{name}: {:?}", lines(&parts)),
            }
        }
    };
    let release = |digits: &[u8; 3]| {
        let mut other = bytes.clone();
        other[NUMBER].copy_from_slice(digits);
        other
    };
    check("120.dta", &release(b"120"), "");
    check("122.dta", &release(b"122"), "saveold NAME, version(14)");
    check(
        "105.dta",
        &[105, 2, 1, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "of Stata 7 or before",
    );
    check("text.dta", b"make,price\nAMC,4099\nand more lines than that\n", "no Stata data file");
    check("empty.dta", b"", "no Stata data file");
    check("cut.dta", &bytes[..bytes.len() / 2], "cannot be shown");
    for (release, order, newer) in NEWER {
        let path = root.join("alias.dta");
        cars(&path, release, order);
        renumber(&path, newer);
        let mut alias = fs::read(&path).unwrap();
        let at = alias.windows(16).position(|w| w == b"<variable_types>").unwrap() + 16;
        let kind = if order == ByteOrder::BigEndian { 65_525_u16.to_be_bytes() } else { 65_525_u16.to_le_bytes() };
        alias[at..at + 2].copy_from_slice(&kind);
        check("alias.dta", &alias, "alias variables");
    }
    // A number of observations that the file has no room for.
    let at = bytes.windows(3).position(|w| w == b"<N>").unwrap() + 3;
    let mut many = bytes.clone();
    many[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    check("many.dta", &many, "not whole");
    let mut wide = bytes.clone();
    let at = bytes.windows(3).position(|w| w == b"<K>").unwrap() + 3;
    wide[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    check("wide.dta", &wide, "too short for that");
    // No byte that is wrong makes it panic, or take more room than the file has.
    for at in (0..bytes.len()).step_by(11) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0xff;
        let path = root.join("wrong.dta");
        fs::write(&path, &wrong).unwrap();
        for action in [wire::DataAction::Describe, wire::DataAction::Codebook, wire::DataAction::Rows] {
            let _ = ask(&root, &request(&path, action, "", "", ""));
        }
    }
    for (vars, range, want) in [
        ("nosuch", "", "variable nosuch not found"),
        ("mak prise", "", "did you mean price?"),
        ("z*", "", "no variable fits z*"),
        ("price-make", "", "is empty"),
        ("", "9/12", "it has 5 observations"),
        ("", "x", "write for example 1/20"),
    ] {
        let refused = ask(&root, &request(&good, wire::DataAction::Rows, vars, "", range)).unwrap_err();
        assert!(refused.to_string().contains(want), "{refused}");
    }
    let three = ask(&root, &request(&good, wire::DataAction::Tabulate, "", "", "")).unwrap_err();
    assert!(three.to_string().contains("one or two variables"), "{three}");
}
