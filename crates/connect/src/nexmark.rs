//! `nexmark`: the events of an auction house. Event n is a function of `random_start` and n, so a position is a number.
//!
//! Of 50 events in a row one is a person, three are auctions, the others bids; people and auctions count up from 1000.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, StructArray, TimestampMicrosecondBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use cenote_vocab::{Clock, Micros};

use crate::pace::Pace;
use crate::source::generated;
use crate::{Error, Options, Pulled, Source, Wanted, stamped};

/// Events of one round.
const ROUND: u64 = 50;
/// Of them, people first, then auctions.
const PEOPLE: u64 = 1;
const AUCTIONS: u64 = 3;
const FIRST_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// One of so many auctions, sellers, bidders is not a hot one.
const HOT_AUCTION: u64 = 2;
const HOT_SELLER: u64 = 4;
const HOT_BIDDER: u64 = 4;
/// Hot ones change after so many.
const HOT_EVERY: u64 = 100;
const AUCTIONS_IN_FLIGHT: u64 = 100;
const ACTIVE_PEOPLE: u64 = 1000;
/// Ids that are named before they are there.
const LEAD: u64 = 10;
/// Events a second of event time where the rate has no limit.
const UNLIMITED_RATE: f64 = 10_000.0;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// What `WITH (connector = 'nexmark', …)` says.
#[derive(Clone, Debug, PartialEq)]
pub struct NexmarkOptions {
    /// Events a second by the clock, and of event time; 0: no limit.
    pub event_rate: f64,
    /// Events in all; `None`: for ever.
    pub message_count: Option<u64>,
    /// When the first event happens, µs; `None`: when the pipeline was made.
    pub start_time: Option<i64>,
    /// Another number, other events.
    pub random_start: u64,
}

impl NexmarkOptions {
    /// Takes its options.
    pub fn take(options: &mut Options) -> Result<Self, Error> {
        let event_rate = options
            .rate("event_rate")?
            .ok_or_else(|| Error::Options("option 'event_rate' is required".into()))?;
        let runtime = options.micros("runtime")?;
        let message_count = options.number("message_count")?;
        let in_time = runtime.map(|micros| (micros as f64 / 1e6 * rate_of(event_rate)) as u64);
        Ok(Self {
            event_rate,
            message_count: message_count.into_iter().chain(in_time).min(),
            start_time: options.number("start_time")?.and_then(|micros| i64::try_from(micros).ok()),
            random_start: options.number("random_start")?.unwrap_or(0),
        })
    }
}

fn rate_of(event_rate: f64) -> f64 {
    if event_rate > 0.0 { event_rate } else { UNLIMITED_RATE }
}

/// The generator. Its position is the number of the next event.
pub struct Nexmark {
    options: NexmarkOptions,
    pace: Pace,
    schema: SchemaRef,
}

impl Nexmark {
    /// Columns of its rows, without the event time: of `person`, `auction`, `bid` two are NULL.
    pub fn columns() -> Schema {
        let column = |name: &str, fields: Fields| Field::new(name, DataType::Struct(fields), true);
        Schema::new(vec![
            column("person", person_fields()),
            column("auction", auction_fields()),
            column("bid", bid_fields()),
        ])
    }

    /// Of a pipeline that was made at `created`.
    pub fn new(options: NexmarkOptions, created: Micros, clock: Clock) -> Self {
        let start = options.start_time.map_or(created, Micros);
        let (rate, count) = (options.event_rate, options.message_count);
        let pace = Pace { name: "nexmark", rate, count, start, clock };
        Self { options, pace, schema: stamped(&Self::columns()) }
    }

    fn event_time(&self, number: u64) -> i64 {
        self.pace.start.0.saturating_add((number as f64 * 1e6 / rate_of(self.options.event_rate)) as i64)
    }

    /// The events `from..to`.
    fn batch(&self, from: u64, to: u64) -> Result<arrow::record_batch::RecordBatch, Error> {
        let (mut people, mut auctions, mut bids) = (People::default(), Auctions::default(), Bids::default());
        let mut times = Vec::new();
        for number in from..to {
            let time = self.event_time(number);
            // Neighbours in time are no neighbours in number: sellers come after their auctions now and then.
            let event = number / ROUND * ROUND + number % ROUND * 953 % ROUND;
            let mut random = Random::of(self.options.random_start, event);
            let place = event % ROUND;
            people.push((place < PEOPLE).then_some((event, time)), &mut random);
            auctions.push((PEOPLE..PEOPLE + AUCTIONS).contains(&place).then_some((event, time)), &mut random);
            bids.push((place >= PEOPLE + AUCTIONS).then_some((event, time)), &mut random);
            times.push(time);
        }
        generated(&self.schema, vec![people.finish()?, auctions.finish()?, bids.finish()?], times)
    }
}

#[async_trait]
impl Source for Nexmark {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn node(&self) -> String {
        "ext:nexmark".to_owned()
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        self.pace.read(from, wanted, |from, to| self.batch(from, to))
    }

    async fn wait(&self, from: &str) {
        self.pace.wait(from).await;
    }

    async fn committed(&mut self, _position: &str) -> Result<(), Error> {
        Ok(())
    }
}

/// Chance of one event: SplitMix64.
struct Random(u64);

impl Random {
    fn of(start: u64, event: u64) -> Self {
        Self(start.wrapping_mul(0xd134_2543_de82_ef95) ^ event.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len() as u64) as usize]
    }

    /// From 100 to 100 million, small ones more often.
    fn price(&mut self) -> u64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (10_f64.powf(share * 6.0) * 100.0) as u64
    }

    /// Lower-case letters; half to one and a half times as many as the mean.
    fn letters(&mut self, mean: u64) -> String {
        let length = mean / 2 + self.below(mean + 1);
        let mut text = String::with_capacity(length as usize);
        let mut bits = 0;
        for at in 0..length {
            if at % 12 == 0 {
                bits = self.next();
            }
            text.push(char::from(b'a' + (bits % 26) as u8));
            bits /= 26;
        }
        text
    }
}

/// The last person who is there at an event, from 0: each round begins with its only one.
fn last_person(event: u64) -> u64 {
    event / ROUND * PEOPLE
}

/// The last auction that is there at an event, from 0; before the first it is that one.
fn last_auction(event: u64) -> u64 {
    let (round, place) = (event / ROUND, event % ROUND);
    let begun = place.saturating_sub(PEOPLE - 1).min(AUCTIONS);
    (round * AUCTIONS + begun).saturating_sub(1)
}

fn some_person(event: u64, random: &mut Random) -> u64 {
    let people = last_person(event) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + random.below(active + LEAD)
}

fn some_auction(event: u64, random: &mut Random) -> u64 {
    let last = last_auction(event);
    let first = last.saturating_sub(AUCTIONS_IN_FLIGHT);
    first + random.below(last - first + 1 + LEAD)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false)
}

fn person_fields() -> Fields {
    let texts = ["name", "email_address", "credit_card", "city", "state"].map(text);
    [number("id")].into_iter().chain(texts).chain([time("datetime"), text("extra")]).collect()
}

fn auction_fields() -> Fields {
    Fields::from(vec![
        number("id"),
        text("description"),
        text("item_name"),
        number("initial_bid"),
        number("reserve"),
        time("datetime"),
        time("expires"),
        number("seller"),
        number("category"),
        text("extra"),
    ])
}

fn bid_fields() -> Fields {
    Fields::from(vec![
        number("auction"),
        number("bidder"),
        number("price"),
        text("channel"),
        text("url"),
        time("datetime"),
        text("extra"),
    ])
}

/// A struct column; in a row that is NULL the values mean nothing.
fn structs(fields: Fields, columns: Vec<ArrayRef>, there: Vec<bool>) -> Result<ArrayRef, Error> {
    Ok(Arc::new(StructArray::try_new(fields, columns, Some(NullBuffer::from(there)))?))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct People {
    there: Vec<bool>,
    id: Int64Builder,
    texts: [StringBuilder; 5],
    datetime: TimestampMicrosecondBuilder,
    extra: StringBuilder,
}

impl People {
    fn push(&mut self, event: Option<(u64, i64)>, random: &mut Random) {
        self.there.push(event.is_some());
        let Some((event, time)) = event else {
            self.id.append_value(0);
            self.texts.iter_mut().for_each(|text| text.append_value(""));
            self.datetime.append_value(0);
            return self.extra.append_value("");
        };
        let (first, last) = (random.one_of(&FIRST_NAMES), random.one_of(&LAST_NAMES));
        let card = (0..4).map(|_| format!("{:04}", random.below(10_000))).collect::<Vec<_>>().join(" ");
        let texts = [
            format!("{first} {last}"),
            format!("{}@{}.com", random.letters(7), random.letters(5)),
            card,
            random.one_of(&CITIES).to_owned(),
            random.one_of(&STATES).to_owned(),
        ];
        self.id.append_value(signed(last_person(event) + FIRST_ID));
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
        self.datetime.append_value(time);
        self.extra.append_value(random.letters(110)); // 200 bytes in all
    }

    fn finish(mut self) -> Result<ArrayRef, Error> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.id.finish())];
        columns.extend(self.texts.iter_mut().map(|text| Arc::new(text.finish()) as ArrayRef));
        columns.push(Arc::new(self.datetime.finish()));
        columns.push(Arc::new(self.extra.finish()));
        structs(person_fields(), columns, self.there)
    }
}

#[derive(Default)]
struct Auctions {
    there: Vec<bool>,
    /// `id`, `initial_bid`, `reserve`, `seller`, `category`
    numbers: [Int64Builder; 5],
    /// `description`, `item_name`, `extra`
    texts: [StringBuilder; 3],
    /// `datetime`, `expires`
    times: [TimestampMicrosecondBuilder; 2],
}

impl Auctions {
    fn push(&mut self, event: Option<(u64, i64)>, random: &mut Random) {
        self.there.push(event.is_some());
        let Some((event, time)) = event else {
            self.numbers.iter_mut().for_each(|number| number.append_value(0));
            self.texts.iter_mut().for_each(|text| text.append_value(""));
            return self.times.iter_mut().for_each(|time| time.append_value(0));
        };
        let seller = match random.below(HOT_SELLER) {
            0 => some_person(event, random),
            _ => last_person(event) / HOT_EVERY * HOT_EVERY,
        };
        let first_bid = random.price();
        let reserve = first_bid + random.price();
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let open = 1_000_000 + random.below(20_000_000);
        let numbers = [last_auction(event) + FIRST_ID, first_bid, reserve, seller + FIRST_ID, category];
        let texts = [random.letters(100), random.letters(20), random.letters(300)]; // 500 bytes in all
        self.numbers.iter_mut().zip(numbers).for_each(|(column, number)| column.append_value(signed(number)));
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
        self.times[0].append_value(time);
        self.times[1].append_value(time.saturating_add(signed(open)));
    }

    fn finish(mut self) -> Result<ArrayRef, Error> {
        let [id, first_bid, reserve, seller, category] =
            self.numbers.each_mut().map(|number| Arc::new(number.finish()) as ArrayRef);
        let [description, item_name, extra] =
            self.texts.each_mut().map(|text| Arc::new(text.finish()) as ArrayRef);
        let [datetime, expires] = self.times.each_mut().map(|time| Arc::new(time.finish()) as ArrayRef);
        let columns =
            vec![id, description, item_name, first_bid, reserve, datetime, expires, seller, category, extra];
        structs(auction_fields(), columns, self.there)
    }
}

#[derive(Default)]
struct Bids {
    there: Vec<bool>,
    /// `auction`, `bidder`, `price`
    numbers: [Int64Builder; 3],
    /// `channel`, `url`, `extra`
    texts: [StringBuilder; 3],
    datetime: TimestampMicrosecondBuilder,
}

impl Bids {
    fn push(&mut self, event: Option<(u64, i64)>, random: &mut Random) {
        self.there.push(event.is_some());
        let Some((event, time)) = event else {
            self.numbers.iter_mut().for_each(|number| number.append_value(0));
            self.texts.iter_mut().for_each(|text| text.append_value(""));
            return self.datetime.append_value(0);
        };
        let auction = match random.below(HOT_AUCTION) {
            0 => some_auction(event, random),
            _ => last_auction(event) / HOT_EVERY * HOT_EVERY,
        };
        let bidder = match random.below(HOT_BIDDER) {
            0 => some_person(event, random),
            _ => last_person(event) / HOT_EVERY * HOT_EVERY + 1,
        };
        let channel = match random.below(2) {
            0 => format!("channel-{}", random.below(10_000)),
            _ => random.one_of(&CHANNELS).to_owned(),
        };
        let path = [random.letters(5), random.letters(5), random.letters(5)].join("/");
        let url =
            format!("https://www.nexmark.com/{path}/item.htm?query=1&channel_id={}", random.below(1 << 30));
        let numbers = [auction + FIRST_ID, bidder + FIRST_ID, random.price()];
        self.numbers.iter_mut().zip(numbers).for_each(|(column, number)| column.append_value(signed(number)));
        self.texts[0].append_value(channel);
        self.texts[1].append_value(url);
        self.texts[2].append_value(random.letters(8)); // 100 bytes in all
        self.datetime.append_value(time);
    }

    fn finish(mut self) -> Result<ArrayRef, Error> {
        let [auction, bidder, price] =
            self.numbers.each_mut().map(|number| Arc::new(number.finish()) as ArrayRef);
        let [channel, url, extra] = self.texts.each_mut().map(|text| Arc::new(text.finish()) as ArrayRef);
        let columns =
            vec![auction, bidder, price, channel, url, Arc::new(self.datetime.finish()) as ArrayRef, extra];
        structs(bid_fields(), columns, self.there)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::source::wanted;

    fn nexmark(random_start: u64) -> Nexmark {
        let options = NexmarkOptions {
            event_rate: 0.0,
            message_count: Some(10_000),
            start_time: Some(0),
            random_start,
        };
        Nexmark::new(options, Micros(0), Clock::manual(Micros(0)))
    }

    #[tokio::test]
    async fn an_event_is_the_same_wherever_the_reader_begins() {
        let whole = nexmark(0).read("", wanted(1_000, 0)).await.expect("read");
        let rest = nexmark(0).read("400", wanted(600, 0)).await.expect("read");
        assert_eq!(rest.batches, [whole.batches[0].slice(400, 600)]);
        let other = nexmark(1).read("400", wanted(600, 0)).await.expect("read");
        assert_ne!(rest.batches, other.batches, "another start, other events");
        let last = nexmark(0).read("9990", wanted(600, 0)).await.expect("read");
        assert_eq!((last.position.as_str(), last.ended), ("10000", true));
    }

    #[tokio::test]
    async fn of_fifty_events_one_is_a_person_three_are_auctions_and_ids_count_up() {
        let read = nexmark(0).read("", wanted(5_000, 0)).await.expect("read");
        let batch = &read.batches[0];
        let there = |at: usize| (batch.num_rows() - batch.column(at).null_count()) * 50 / batch.num_rows();
        assert_eq!([there(0), there(1), there(2)], [1, 3, 46]);
        for (at, count) in [(0, 100), (1, 300)] {
            let column = batch.column(at).as_struct();
            let ids = column.column(0).as_primitive::<Int64Type>();
            let mut ids: Vec<i64> =
                (0..batch.num_rows()).filter(|row| column.is_valid(*row)).map(|row| ids.value(row)).collect();
            ids.sort_unstable();
            assert_eq!(ids, (1000..1000 + count).collect::<Vec<i64>>(), "column {at}");
        }
    }
}
