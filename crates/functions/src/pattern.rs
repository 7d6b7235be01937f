//! Date patterns of Postgres (`YYYY-MM-DD HH24:MI:SS`), read once, then used for writing and reading.
//!
//! As in Postgres: letters that are no pattern stand for themselves, so does text in double quotes; a pattern's case
//! decides the case of names. `FM` before a pattern takes its padding away, `TH` after it adds the ordinal ending.

use crate::Error;

/// One part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Itself.
    Text(String),
    /// A field of the date.
    Field {
        /// Which.
        field: Field,
        /// How names are written.
        case: Case,
        /// True after `FM`.
        bare: bool,
        /// The ordinal ending that follows, if any.
        ordinal: Option<Case>,
    },
}

/// How letters are written: after the first two letters of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// `MONTH`
    Upper,
    /// `Month`
    Capital,
    /// `month`
    Lower,
}

/// What a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// With a comma after the thousands.
    YearComma,
    /// The last so many digits of the year.
    Year(u8),
    /// The same of the ISO year.
    IsoYear(u8),
    Century,
    Quarter,
    Month,
    MonthName,
    MonthShort,
    MonthRoman,
    Week,
    WeekOfMonth,
    IsoWeek,
    Day,
    DayOfYear,
    IsoDayOfYear,
    /// From 1, Sunday.
    Weekday,
    /// From 1, Monday.
    IsoWeekday,
    DayName,
    DayShort,
    Julian,
    Hour24,
    Hour12,
    Minute,
    Second,
    SecondOfDay,
    /// So many digits of the second's fraction.
    Fraction(u8),
    /// `AM`, `PM`
    Meridiem,
    /// `A.M.`, `P.M.`
    MeridiemDots,
    /// `BC`, `AD`
    Era,
    /// `B.C.`, `A.D.`
    EraDots,
    ZoneName,
    /// `+02` or `+05:30`
    Offset,
    OffsetHours,
    OffsetMinutes,
}

/// Longest first where one begins another.
const PATTERNS: [(&str, Field); 51] = [
    ("SSSSS", Field::SecondOfDay),
    ("Y,YYY", Field::YearComma),
    ("MONTH", Field::MonthName),
    ("A.M.", Field::MeridiemDots),
    ("P.M.", Field::MeridiemDots),
    ("B.C.", Field::EraDots),
    ("A.D.", Field::EraDots),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("SSSS", Field::SecondOfDay),
    ("YYYY", Field::Year(4)),
    ("IYYY", Field::IsoYear(4)),
    ("IDDD", Field::IsoDayOfYear),
    ("YYY", Field::Year(3)),
    ("IYY", Field::IsoYear(3)),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("MON", Field::MonthShort),
    ("TZH", Field::OffsetHours),
    ("TZM", Field::OffsetMinutes),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("HH", Field::Hour12),
    ("MI", Field::Minute),
    ("SS", Field::Second),
    ("MS", Field::Fraction(3)),
    ("US", Field::Fraction(6)),
    ("AM", Field::Meridiem),
    ("PM", Field::Meridiem),
    ("BC", Field::Era),
    ("AD", Field::Era),
    ("YY", Field::Year(2)),
    ("IY", Field::IsoYear(2)),
    ("MM", Field::Month),
    ("DD", Field::Day),
    ("DY", Field::DayShort),
    ("ID", Field::IsoWeekday),
    ("WW", Field::Week),
    ("IW", Field::IsoWeek),
    ("CC", Field::Century),
    ("RM", Field::MonthRoman),
    ("TZ", Field::ZoneName),
    ("OF", Field::Offset),
    ("Y", Field::Year(1)),
    ("I", Field::IsoYear(1)),
    ("D", Field::Weekday),
    ("W", Field::WeekOfMonth),
];

/// The parts of a format. `Q` and `J` are handled here too: one letter, no twin.
pub(crate) fn parts(format: &str) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    let mut rest = format;
    let mut bare = false;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quote(quoted, &mut parts).ok_or_else(|| Error::Format {
                format: format.to_owned(),
                problem: "has an open quote".to_owned(),
            })?;
            continue;
        }
        if let Some(after) = strip(rest, "FM") {
            (bare, rest) = (true, after);
            continue;
        }
        if let Some(after) = strip(rest, "FX").or_else(|| strip(rest, "TM")) {
            rest = after; // exact reading, and names in the server's language, which is English: no difference here
            continue;
        }
        let one_letter = [("Q", Field::Quarter), ("J", Field::Julian)];
        let found =
            PATTERNS.iter().chain(&one_letter).find_map(|(word, field)| Some((*field, strip(rest, word)?)));
        let Some((field, after)) = found else {
            let mut letters = rest.chars();
            let letter = letters.next().unwrap_or_default();
            push_text(&mut parts, letter);
            rest = letters.as_str();
            continue;
        };
        let case = case(&rest[..rest.len() - after.len()]);
        let (ordinal, after) = match strip(after, "TH") {
            Some(later) => (Some(self::case(&after[..2])), later),
            None => (None, after),
        };
        parts.push(Part::Field { field, case, bare, ordinal });
        (bare, rest) = (false, after);
    }
    Ok(parts)
}

fn strip<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn case(pattern: &str) -> Case {
    let mut letters = pattern.chars().filter(char::is_ascii_alphabetic);
    match (
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
        letters.next().is_some_and(|c| c.is_ascii_uppercase()),
    ) {
        (true, true) => Case::Upper,
        (true, false) => Case::Capital,
        (false, _) => Case::Lower,
    }
}

/// Takes the text up to the closing quote and answers what follows.
fn quote<'a>(text: &'a str, parts: &mut Vec<Part>) -> Option<&'a str> {
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some(letters.as_str()),
            '\\' => push_text(parts, letters.next()?),
            letter => push_text(parts, letter),
        }
    }
}

fn push_text(parts: &mut Vec<Part>, letter: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(letter),
        _ => parts.push(Part::Text(letter.into())),
    }
}

impl Case {
    /// `text`, which is capitalised, in this case.
    pub(crate) fn write(self, text: &str) -> String {
        match self {
            Self::Upper => text.to_uppercase(),
            Self::Capital => text.to_owned(),
            Self::Lower => text.to_lowercase(),
        }
    }
}
