use super::*;

fn time(period: Period, zone: &str, start: Option<&str>, end: Option<&str>) -> Slices {
    let said = Partitioning::Time {
        column: "ts".into(),
        period,
        start: start.map(str::to_owned),
        end: end.map(str::to_owned),
        zone: zone.into(),
    };
    Slices::of(&said).unwrap_or_else(|error| panic!("{error}"))
}

fn list(column: &str, values: &[&str]) -> Slices {
    let values = values.iter().map(|value| SliceValue::Text((*value).to_owned())).collect();
    Slices::of(&Partitioning::Values { column: column.into(), values })
        .unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> Micros {
    Micros(text.parse::<Timestamp>().unwrap().as_microsecond())
}

fn range(first: i64, last: i64) -> SliceRange {
    SliceRange { first, last }
}

#[test]
fn a_key_is_read_as_it_is_written_and_without_its_tag() {
    for (period, zone, short, long) in [
        (Period::Hour, "UTC", "hour=2026-01-01T05:00:00Z", "hour=t:2026-01-01T05:00:00.000000Z"),
        (Period::Hour, "Asia/Kolkata", "hour=2026-01-01T05:30:00Z", "hour=t:2026-01-01T05:30:00.000000Z"),
        (Period::Day, "Europe/Rome", "day=2026-01-01", "day=d:2026-01-01"),
        (Period::Day, "UTC", "day=1969-12-31", "day=d:1969-12-31"),
        (Period::Week, "UTC", "week=2026-01-05", "week=d:2026-01-05"),
        (Period::Month, "UTC", "month=2026-02", "month=d:2026-02"),
        (Period::Month, "UTC", "month=1969-12", "month=d:1969-12"),
        (Period::Year, "UTC", "year=2026", "year=d:2026"),
    ] {
        let slices = time(period, zone, None, None);
        let number = slices.number(short).unwrap_or_else(|error| panic!("{short}: {error}"));
        assert_eq!(slices.key(number), long);
        assert_eq!(slices.number(long).unwrap(), number, "{long}");
    }
    let days = time(Period::Day, "UTC", None, None);
    let january = days.range("day=d:2026-01-01..2026-01-31").unwrap();
    assert_eq!((january.len(), days.text(january).as_str()), (31, "day=d:2026-01-01..2026-01-31"));
    let regions = list("region", &["eu", "us", "a..b=:"]);
    assert_eq!(regions.number("region=us").unwrap(), 1);
    assert_eq!((regions.key(0).as_str(), regions.number("region=s:ZXU").unwrap()), ("region=s:ZXU", 0));
    assert_eq!(regions.number("region=a..b=:").unwrap(), 2);
    let all = regions.text(range(0, 2));
    assert_eq!(regions.range(&all).unwrap(), range(0, 2), "{all}");
    let mixed = vec![SliceValue::Int(7), SliceValue::Bool(true), SliceValue::Null];
    let mixed = Slices::of(&Partitioning::Values { column: "x".into(), values: mixed }).unwrap();
    assert_eq!([0, 1, 2].map(|number| mixed.key(number)), ["x=i:7", "x=b:true", "x=n:"]);
    for (first, last) in [(0, 2), (0, 1), (1, 2)] {
        let text = mixed.text(range(first, last));
        assert_eq!(mixed.range(&text).unwrap(), range(first, last), "{text}");
    }
    let hours = time(Period::Hour, "UTC", None, None);
    let text = hours.text(hours.between(500_000, 500_009).unwrap());
    assert_eq!(hours.range(&text).unwrap(), range(500_000, 500_009), "{text}");
}

#[test]
fn what_is_no_key_is_named_with_what_is_wrong() {
    let days = time(Period::Day, "UTC", Some("2026-01-01"), Some("2026-02-01"));
    for (key, expected) in [
        ("2026-01-01", "is not written day=2026-01-01"),
        ("month=2026-01", "is of month, the asset's are of day"),
        ("day=2025-12-31", "is before the first, day=d:2026-01-01"),
        ("day=2026-02-01", "is after the last, day=d:2026-01-31"),
        ("day=2026-02-30", "is no time"),
        ("day=2026-01", "names no day: the one that holds it is 2026-01-01"),
        ("day=s:ZXU", "is no time"),
    ] {
        let error = days.number(key).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
    let weeks = time(Period::Week, "UTC", None, None);
    let error = weeks.number("week=2026-01-01").unwrap_err().to_string();
    assert!(error.contains("names no week: the one that holds it is 2025-12-29"), "{error}");
    let error = list("region", &["eu"]).number("region=us").unwrap_err().to_string();
    assert!(error.contains("\"region=us\" is none of eu"), "{error}");
    assert!(days.range("day=d:2026-01-05..2026-01-02").unwrap_err().to_string().contains("comes after"));
    let said = Partitioning::Time {
        column: "t".into(),
        period: Period::Day,
        start: None,
        end: None,
        zone: "Mars".into(),
    };
    assert!(Slices::of(&said).unwrap_err().to_string().contains("\"Mars\" is no time zone"));
}

#[test]
fn slices_of_time_touch_and_never_overlap_whatever_clocks_do() {
    for zone in [
        "UTC",
        "Europe/Rome",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "America/Havana",
        "Pacific/Apia",
        "America/Sao_Paulo",
    ] {
        for period in Period::ALL {
            let slices = time(period, zone, None, None);
            let count = if period == Period::Hour { 24 * 800 } else { 800 };
            let first = slices.at(at("2010-12-20T00:00:00Z")).unwrap();
            let mut begin = slices.instants(SliceRange::one(first)).unwrap().0;
            for number in first..first + count {
                let (from, to) = slices.instants(SliceRange::one(number)).unwrap();
                assert_eq!(from, begin, "{zone} {}", slices.key(number));
                assert!(from <= to);
                if from < to {
                    assert_eq!(slices.at(from), Some(number), "{zone} {}", slices.key(number));
                    assert_eq!(slices.at(Micros(to.0 - 1)), Some(number), "{zone} {}", slices.key(number));
                }
                begin = to;
            }
        }
    }
    let rome = time(Period::Day, "Europe/Rome", None, None);
    let hours = |key: &str| {
        let (from, to) = rome.instants(SliceRange::one(rome.number(key).unwrap())).unwrap();
        (to.0 - from.0) / 3_600_000_000
    };
    assert_eq!([hours("day=2026-03-29"), hours("day=2026-10-25"), hours("day=2026-06-01")], [23, 25, 24]);
}

#[test]
fn a_slice_of_time_is_there_once_it_has_ended() {
    let days = time(Period::Day, "Europe/Rome", Some("2026-01-01"), Some("2026-01-05"));
    let key = |number: Option<i64>| number.map(|number| days.key(number));
    assert_eq!(key(days.newest_ended(at("2026-01-01T22:59:59Z"))), None);
    assert_eq!(key(days.newest_ended(at("2026-01-01T23:00:00Z"))).unwrap(), "day=d:2026-01-01");
    assert_eq!(key(days.newest_begun(at("2026-01-01T23:00:00Z"))).unwrap(), "day=d:2026-01-02");
    assert_eq!(key(days.newest_ended(at("2027-01-01T00:00:00Z"))).unwrap(), "day=d:2026-01-04");
    assert_eq!(list("r", &["a", "b"]).newest_ended(Micros(0)), Some(1));
}

#[test]
fn a_mapping_leads_up_and_down_to_the_same_pairs() {
    let zones = ["UTC", "Europe/Rome"];
    let mut cases = Vec::new();
    for zone in zones {
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            cases.push(time(period, zone, None, None));
        }
    }
    let mappings = [
        Mapping::Identity,
        Mapping::Window { from: -6, to: 0 },
        Mapping::Window { from: -2, to: -1 },
        Mapping::Window { from: 1, to: 3 },
    ];
    for down in &cases {
        for up in &cases {
            for mapping in mappings {
                let mapped = Mapped { mapping, down, up };
                let middle = down.at(at("2026-03-29T10:00:00Z")).unwrap();
                for number in middle - 3..=middle + 3 {
                    let read = mapped.upstream(SliceRange::one(number), None);
                    let (first, last) = (read.ranges()[0].first, read.last().unwrap());
                    for other in first - 3..=last + 3 {
                        let back = mapped.downstream(SliceRange::one(other), None);
                        assert_eq!(
                            read.meets(SliceRange::one(other)),
                            back.meets(SliceRange::one(number)),
                            "{mapping:?} {} reads {}",
                            down.key(number),
                            up.key(other)
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_dimension_that_one_side_lacks_means_all_of_its_values() {
    let (days, regions) = (time(Period::Day, "UTC", None, None), list("region", &["eu", "us"]));
    let mapped = |down, up| Mapped { mapping: Mapping::Identity, down, up };
    assert_eq!(mapped(&days, &regions).upstream(SliceRange::one(5), None), SliceRange::ALL.into());
    let others = list("region", &["us", "jp", "eu"]);
    assert_eq!(
        mapped(&regions, &others).upstream(range(0, 1), None),
        SliceSet::of([range(2, 2), range(0, 0)])
    );
    assert_eq!(mapped(&regions, &others).downstream(range(1, 1), None), SliceSet::default());
    let latest = Mapped { mapping: Mapping::Latest, down: &days, up: &days };
    assert_eq!(latest.upstream(range(1, 9), Some(7)), SliceRange::one(7).into());
    assert_eq!(latest.downstream(range(1, 6), Some(7)), SliceSet::default());
    assert_eq!(latest.downstream(range(1, 7), Some(7)), SliceRange::ALL.into());
}

#[test]
fn mappings_that_cannot_be_are_refused() {
    let (days, regions) = (time(Period::Day, "UTC", None, None), list("region", &["eu"]));
    let window = Mapping::Window { from: -1, to: 0 };
    let check =
        |mapping: Mapping, down, up, same| mapping.check(down, up, same).map_err(|error| error.to_string());
    assert!(
        check(window, Some(&days), Some(&regions), Sameness::Other)
            .unwrap_err()
            .contains("partitions of time")
    );
    assert!(check(window, Some(&days), None, Sameness::Other).unwrap_err().contains("partitions of time"));
    assert!(
        check(Mapping::Window { from: 1, to: 0 }, Some(&days), Some(&days), Sameness::Other)
            .unwrap_err()
            .contains("window(1, 0)")
    );
    assert!(check(window, Some(&days), Some(&days), Sameness::Itself).unwrap_err().contains("earlier"));
    assert!(
        check(Mapping::Identity, Some(&days), Some(&days), Sameness::Itself).unwrap_err().contains("earlier")
    );
    assert!(
        check(Mapping::Latest, Some(&days), Some(&regions), Sameness::Other).unwrap_err().contains("latest")
    );
    assert_eq!(
        check(Mapping::Window { from: -3, to: -1 }, Some(&days), Some(&days), Sameness::Itself),
        Ok(())
    );
    assert_eq!(check(Mapping::All, None, None, Sameness::Other), Ok(()));
}

#[test]
fn sets_are_ranges_that_neither_touch_nor_overlap() {
    let set = SliceSet::of([range(5, 6), range(1, 2), range(3, 3), range(9, 9), range(5, 7)]);
    assert_eq!(set.ranges(), [range(1, 3), range(5, 7), range(9, 9)]);
    assert_eq!(
        (set.len(), set.last(), set.meets(range(4, 4)), set.meets(range(4, 5))),
        (7, Some(9), false, true)
    );
    assert_eq!(set.within(range(2, 6)).ranges(), [range(2, 3), range(5, 6)]);
    let pieces: Vec<SliceRange> = range(1, 7).pieces(3).collect();
    assert_eq!(pieces, [range(1, 3), range(4, 6), range(7, 7)]);
    assert_eq!(SliceSet::of([SliceRange::ALL]).len(), u64::MAX);
}
