//! How what a pipeline holds fits another script. Pure.

use cenote_query::{NodeKind, PartOfChange, StateChoice, Verdict};

use crate::checkpoint::Stored;
use crate::plan::{Operator, PipelinePlan};

/// Compares what a pipeline runs with what it would run. `was` is an error if the script as it is cannot be planned any more;
/// `stored`: what it held after its last epoch, if there was one.
pub(crate) fn compare(
    was: Result<&PipelinePlan, &str>,
    is: &PipelinePlan,
    stored: Option<&Stored>,
    state: StateChoice,
) -> Vec<PartOfChange> {
    let mut parts = Vec::new();
    let mut part =
        |kind, name: &str, verdict| parts.push(PartOfChange { kind, name: name.to_owned(), verdict });
    let sources = |plan: &PipelinePlan| -> Vec<(String, String)> {
        plan.sources.iter().map(|source| (source.name.clone(), source.identity())).collect()
    };
    let sinks = |plan: &PipelinePlan| -> Vec<(String, String)> {
        let tables =
            plan.outputs.iter().map(|output| (output.target.full_name(), output.target.id.to_string()));
        let others = plan.sinks.iter().map(|sink| (sink.name.clone(), sink.options.identity()));
        let mut all: Vec<_> = tables.chain(others).collect();
        all.sort();
        all.dedup();
        all
    };
    let before = was.ok();
    for (kind, are, were) in [
        (NodeKind::Source, sources(is), before.map(sources).unwrap_or_default()),
        (NodeKind::Sink, sinks(is), before.map(sinks).unwrap_or_default()),
    ] {
        for known in &are {
            part(kind, &known.0, if were.contains(known) { Verdict::Kept } else { Verdict::New });
        }
        for gone in were.iter().filter(|known| !are.contains(known)) {
            part(kind, &gone.0, Verdict::Gone);
        }
    }
    let holds = stored.is_some_and(|stored| stored.fingerprints().len() > 0);
    let operators = before.map_or(&[][..], |before| &before.operators[..]);
    for (at, operator) in is.operators.iter().enumerate() {
        let verdict = match (state, stored) {
            (StateChoice::Reset, _) => Verdict::Reset,
            (StateChoice::Keep, None) => Verdict::New,
            (StateChoice::Keep, Some(stored)) => {
                let was_stored = stored.fingerprints().nth(at);
                match (was, operators.get(at), was_stored) {
                    (Err(error), _, _) if holds => {
                        Verdict::Differs(format!("the script as it is cannot be planned: {error}"))
                    }
                    (_, _, None) => Verdict::Differs("it is new".to_owned()),
                    (_, was, Some(was_stored)) => match difference(operator, was, was_stored) {
                        Some(difference) => Verdict::Differs(difference),
                        None => Verdict::Kept,
                    },
                }
            }
        };
        part(NodeKind::Operator, operator.name(), verdict);
    }
    for gone in operators.iter().skip(is.operators.len()) {
        let verdict = match state {
            StateChoice::Reset => Verdict::Reset,
            StateChoice::Keep if stored.is_none() => Verdict::Gone,
            StateChoice::Keep => Verdict::Differs("it would be gone".to_owned()),
        };
        part(NodeKind::Operator, gone.name(), verdict);
    }
    parts
}

/// True if a sink outside of the lake holds something and would be there no longer.
pub(crate) fn leaves_sinks(is: &PipelinePlan, stored: &Stored) -> bool {
    let standing = &stored.standing;
    standing.sinks.iter().filter(|(_, held)| !held.is_empty()).any(|(name, _)| {
        let identity = standing.sink_identities.get(name);
        let is_same = |sink: &crate::streams::SinkPlan| {
            sink.name == *name && identity.is_none_or(|identity| *identity == sink.options.identity())
        };
        !is.sinks.iter().any(is_same)
    })
}

/// Why what an operator held does not fit; `None` if it does.
fn difference(is: &Operator, was: Option<&Operator>, was_stored: &str) -> Option<String> {
    let told = |was: &str, is: &str| Some(format!("it was {}, it is {}", was.trim(), is.trim()));
    if is.fingerprint() != was_stored {
        return told(was_stored, is.fingerprint());
    }
    let was = was?;
    let mut lines = (was.lineage().lines(), is.lineage().lines());
    loop {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return None,
            (was, is) if was == is => {}
            (was, is) => return told(was.unwrap_or("nothing"), is.unwrap_or("nothing")),
        }
    }
}
