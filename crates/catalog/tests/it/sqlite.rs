//! The promises on SQLite: in a file, and in memory.

use crate::fixture::Fixture;

async fn start() -> Option<Fixture> {
    let directory = tempfile::tempdir().expect("a directory");
    Some(Fixture::new("sqlite".into(), Some(directory), 1).await)
}

crate::all_promises!(start);

mod memory {
    use super::Fixture;

    async fn start() -> Option<Fixture> {
        Some(Fixture::new("sqlite::memory:".into(), None, 2).await)
    }

    crate::promises!(start;
        commits::a_created_table_takes_files_and_shows_them,
        commits::sixty_four_writers_lose_nothing_and_number_densely,
        files::deletes_of_one_file_are_merged_and_counted_once,
        model::random_commits_leave_what_a_plain_model_says,
    );
}
