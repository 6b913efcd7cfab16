//! Who has which core: what is measured has core 0, and whoever drives it core 1, as another process.

use std::process::{Command, Stdio};

use crate::support::load::{Plan, Report, generate};
use crate::support::service::Launch;

/// What a shell does before it becomes the measured process.
pub const ON_SERVICE_CORE: &str = "taskset -cp 0 $$ > /dev/null";
pub const GENERATOR_CORE: &str = "1";
/// The first argument of this program as a generator; the plan is the second.
const GENERATE: &str = "generate";

/// The service of the release that was built with this program, or the one that `TOKEN_EXCHANGE`
/// names, after a command of the shell.
pub fn service_after(command: &str) -> Launch {
    match std::env::var("TOKEN_EXCHANGE") {
        Err(_) => Launch::token_exchange_after(command),
        Ok(program) => {
            let script = format!("{command}; exec \"$0\" \"$@\"");
            Launch::new("/bin/sh").arg("-c").arg(&script).arg(&program)
        }
    }
}

/// An exchange, all of it.
pub fn request(key: &str) -> String {
    let body = serde_json::json!({ "api_key": key }).to_string();
    let length = body.len();
    format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: load\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Carries out a plan in a process of its own, on its core.
pub fn drive(plan: &Plan) -> Report {
    let generator = Command::new("taskset")
        .args(["-c", GENERATOR_CORE])
        .arg(std::env::current_exe().unwrap())
        .args([GENERATE, &serde_json::to_string(plan).unwrap()])
        .stderr(Stdio::inherit())
        .output()
        .expect("taskset runs");
    serde_json::from_slice(&generator.stdout).expect("the generator reports")
}

/// Whether this process was started as the generator; then it has done its work.
pub fn is_generator() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, word, plan] = &arguments[..] else { return false };
    if word == GENERATE {
        let plan: Plan = serde_json::from_str(plan).unwrap();
        println!("{}", serde_json::to_string(&generate(&plan)).unwrap());
    }
    word == GENERATE
}
