//! Topics of similar names, and topics by words.

use std::{cmp::Reverse, collections::BTreeMap};

use super::index::{Index, Topic};

/// Most letters by which a name may differ from the one that was meant.
const MOST_WRONG: usize = 2;

/// Topics whose names begin alike or differ by few letters, the nearest first.
pub(super) fn names<'a>(index: &'a Index, asked: &str, most: usize) -> Vec<&'a Topic> {
    let asked = asked.to_lowercase();
    let far = |name: &str| -> Option<usize> {
        let name = name.to_lowercase();
        let longer = asked.len() >= 2 && name.starts_with(&asked);
        let shorter = name.len() >= 4 && asked.starts_with(&name);
        let wrong = (name.len().abs_diff(asked.len()) <= MOST_WRONG)
            .then(|| strsim::damerau_levenshtein(&name, &asked))
            .filter(|wrong| *wrong <= MOST_WRONG && *wrong * 3 <= asked.len());
        wrong.or_else(|| (longer || shorter).then(|| MOST_WRONG + name.len().abs_diff(asked.len())))
    };
    let mut near: BTreeMap<&str, (usize, &Topic)> = BTreeMap::new();
    let all = index.topics().map(|topic| (topic.name.as_str(), topic)).chain(index.aliases());
    for (name, topic) in all {
        let Some(far) = far(name) else { continue };
        let known = near.entry(&topic.name).or_insert((far, topic));
        known.0 = known.0.min(far);
    }
    let mut near: Vec<(usize, &Topic)> = near.into_values().collect();
    near.sort_by_key(|(far, topic)| (*far, &topic.name));
    near.into_iter().map(|(_, topic)| topic).take(most).collect()
}

/// Topics whose names or first lines hold the words, the best first. Those with all words come before others; the
/// others are only returned where none has all.
pub(super) fn by_words<'a>(index: &'a Index, words: &[String], about: impl Fn(&'a Topic) -> String) -> Vec<&'a Topic> {
    let mut found: Vec<(usize, u32, &Topic)> = vec![];
    for topic in index.topics() {
        let (name, about) = (topic.name.to_lowercase(), about(topic).to_lowercase());
        let scores: Vec<u32> = words.iter().map(|word| score(word, &name, &about)).filter(|score| *score > 0).collect();
        if !scores.is_empty() {
            found.push((scores.len(), scores.iter().sum(), topic));
        }
    }
    let most = found.iter().map(|(matched, ..)| *matched).max().unwrap_or(0);
    found.retain(|(matched, ..)| *matched == most);
    found.sort_by_key(|(_, score, topic)| (Reverse(*score), topic.name.len(), &topic.name));
    found.into_iter().map(|(.., topic)| topic).collect()
}

fn score(word: &str, name: &str, about: &str) -> u32 {
    let whole = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    let in_name = match () {
        () if name == word => 100,
        () if name.starts_with(word) => 40,
        () if name.contains(word) => 20,
        () => 0,
    };
    let in_about = match () {
        () if whole(about) => 15,
        () if about.contains(word) => 6,
        () => 0,
    };
    in_name + in_about
}
