//! How well an object answers a search.

/// A part of an object that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name,
    Column,
    Label,
    Description,
}

impl Part {
    fn weight(self) -> f64 {
        match self {
            Self::Name => 1.0,
            Self::Column => 0.8,
            Self::Label => 0.6,
            Self::Description => 0.5,
        }
    }

    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Column => "column",
            Self::Label => "label",
            Self::Description => "description",
        }
    }
}

/// What somebody looks for.
#[derive(Debug)]
pub(super) struct Wanted {
    text: String,
    tokens: Vec<String>,
}

impl Wanted {
    /// `None` if there is nothing in the text to look for.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        for word in words(text) {
            let word = word.to_lowercase();
            if word.chars().count() > 1 && !tokens.contains(&word) {
                tokens.push(word);
            }
        }
        (!tokens.is_empty()).then(|| Self { text: text.trim().to_lowercase(), tokens })
    }

    /// The score of an object and the parts that matched, each once; `None` unless every token is found. The last may be the
    /// beginning of a word. A token counts by the heaviest part that holds it; a name that is the very text counts twice.
    pub(super) fn score<'a>(&self, parts: &[(Part, &'a str)]) -> Option<(f64, Vec<(Part, &'a str)>)> {
        let (mut score, mut matched) = (0.0, Vec::new());
        for (at, wanted) in self.tokens.iter().enumerate() {
            let is_last = at + 1 == self.tokens.len();
            let mut best: f64 = 0.0;
            for (place, (part, text)) in parts.iter().enumerate() {
                if holds(text, wanted, is_last) {
                    best = best.max(part.weight());
                    matched.push(place);
                }
            }
            if best == 0.0 {
                return None;
            }
            score += best;
        }
        matched.sort_unstable();
        matched.dedup();
        if parts.iter().any(|(part, text)| *part == Part::Name && text.to_lowercase() == self.text) {
            score *= 2.0;
        }
        Some((score, matched.into_iter().map(|place| parts[place]).collect()))
    }
}

/// True if a word of the text, or a part of one in camel case, is the token; or begins with it, if that is enough.
fn holds(text: &str, wanted: &str, begins: bool) -> bool {
    let fits = |token: &String| token == wanted || (begins && token.starts_with(wanted));
    may_hold(text, wanted) && tokens(text).iter().any(fits)
}

/// False only if no token of the text can be so: most texts are told so without their tokens.
fn may_hold(text: &str, wanted: &str) -> bool {
    if !text.is_ascii() {
        return true; // lower case may have other letters
    }
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    text.len() >= wanted.len() && text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

/// Runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The words of a text and their parts in camel case, in lower case, without single letters.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in words(text) {
        let parts = camel(word);
        if parts.len() > 1 {
            tokens.extend(parts.into_iter().map(str::to_lowercase));
        }
        tokens.push(word.to_lowercase());
    }
    tokens.retain(|token| token.chars().count() > 1);
    tokens
}

/// `cpuUsage` as `cpu`, `Usage`; `HTTPServer` as `HTTP`, `Server`.
fn camel(word: &str) -> Vec<&str> {
    let letters: Vec<(usize, char)> = word.char_indices().collect();
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, &(place, letter)) in letters.iter().enumerate().skip(1) {
        let after_small = letters[at - 1].1.is_lowercase() && letter.is_uppercase();
        let before_small = letters[at - 1].1.is_uppercase()
            && letter.is_uppercase()
            && letters.get(at + 1).is_some_and(|(_, next)| next.is_lowercase());
        if after_small || before_small {
            parts.push(&word[from..place]);
            from = place;
        }
    }
    parts.push(&word[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(wanted: &str, parts: &[(Part, &str)]) -> Option<f64> {
        Wanted::of(wanted)?.score(parts).map(|(score, _)| score)
    }

    #[test]
    fn words_are_split_at_signs_and_in_camel_case() {
        assert_eq!(tokens("cpuUsage_total-v2 x"), ["cpu", "usage", "cpuusage", "total", "v2"]);
        assert_eq!(tokens("HTTPServer"), ["http", "server", "httpserver"]);
        assert_eq!(tokens("größeÄndern"), ["größe", "ändern", "größeändern"]);
        assert_eq!(tokens("_ - !"), Vec::<String>::new());
    }

    #[test]
    fn every_token_is_found_the_last_by_its_beginning() {
        let cpu =
            [(Part::Name, "cpuUsage"), (Part::Column, "host_name"), (Part::Description, "of each host")];
        assert_eq!(score("cpu", &cpu), Some(1.0));
        assert_eq!(score("host", &cpu), Some(0.8));
        assert_eq!(score("cpu ho", &cpu), Some(1.8));
        assert_eq!(score("ho cpu", &cpu), None, "only the last may be a beginning");
        assert_eq!(score("each", &cpu), Some(0.5));
        assert_eq!(score("cpu disk", &cpu), None);
        assert_eq!(score("CPUusage", &cpu), Some(2.0), "the very name");
        assert!(Wanted::of(" , x").is_none());
    }

    #[test]
    fn a_text_that_cannot_hold_a_word_is_told_without_its_words() {
        for (text, wanted, expected) in [
            ("cpuUsage", "usage", true),
            ("cpuUsage", "puus", true),
            ("cpuUsage", "host", false),
            ("", "host", false),
            ("Größe", "größe", true),
            ("cpu", "größe", false),
            ("İstanbul", "istanbul", true),
        ] {
            assert_eq!(may_hold(text, wanted), expected, "{text} {wanted}");
        }
        assert!(!holds("cpuUsage", "puus", true), "in the midst of a word");
    }

    #[test]
    fn what_matched_is_told() {
        let parts =
            [(Part::Name, "cpu"), (Part::Column, "host"), (Part::Column, "value"), (Part::Label, "host")];
        let (_, matched) = Wanted::of("host").expect("a word").score(&parts).expect("found");
        assert_eq!(matched, [(Part::Column, "host"), (Part::Label, "host")]);
    }
}
