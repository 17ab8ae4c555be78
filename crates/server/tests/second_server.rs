//! Guards: two servers never write one data directory, and the second one says who was first.

use std::path::Path;

use suyuan_testkit::process::ServerProcess;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

#[tokio::test]
async fn a_second_server_is_refused_with_the_pid_of_the_first() {
    let data_dir = tempfile::tempdir().unwrap();
    let start = || ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]);
    let first = start().unwrap();
    let said = start().err().expect("the directory is in use");
    assert!(said.contains(&first.pid().to_string()), "no pid {} in: {said}", first.pid());
    assert!(said.contains(&data_dir.path().display().to_string()), "no directory in: {said}");

    first.kill();
    let third = start().expect("a lock does not outlive the process that held it");
    let (status, said) = third.terminate().await;
    assert!(status.success(), "{status}: {said}");
}
