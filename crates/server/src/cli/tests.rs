//! What the command line promises about itself.

use clap::CommandFactory;

use super::*;

fn every_command(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&str, &clap::Command)) {
    for subcommand in command.get_subcommands() {
        let path = format!("{path} {}", subcommand.get_name());
        visit(&path, subcommand);
        every_command(subcommand, &path, visit);
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_is_for_and_shows_an_example() {
    every_command(&Cli::command(), "suyuan", &mut |path, command| {
        let purpose = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(purpose.len() > 20, "{path} has no sentence of purpose: {purpose:?}");
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example"), "{path} has no example:\n{help}");
        assert!(help.contains(path), "the example of {path} does not call it:\n{help}");
    });
}

#[test]
fn every_option_is_explained() {
    every_command(&Cli::command(), "suyuan", &mut |path, command| {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
        }
    });
}

#[test]
fn without_a_command_the_help_is_shown() {
    let error = Cli::try_parse_from(["suyuan"]).unwrap_err();
    assert!(error.to_string().contains("Usage: suyuan"), "{error}");
}

#[test]
fn every_flag_of_the_configuration_is_one_of_serve() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let flags: Vec<_> = serve.get_arguments().filter_map(|argument| argument.get_long()).collect();
    for key in crate::config::keys::KEYS {
        let Some(flag) = key.flag else { continue };
        assert!(flags.contains(&flag.trim_start_matches("--")), "{flag}");
    }
}
