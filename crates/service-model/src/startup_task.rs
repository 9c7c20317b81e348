//! Startup tasks, and the role's own program.

use roxmltree::Node;

use crate::variable::{self, Variable};
use crate::xml::{Reader, Shape, children, echo};

/// A command that runs each time before the role starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupTask {
    /// The command, relative to the role's folder.
    pub command_line: String,
    /// `executionContext="elevated"`.
    pub elevated: bool,
    /// How what follows waits for it.
    pub kind: TaskKind,
    /// Its own environment variables.
    pub variables: Vec<Variable>,
}

/// `taskType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// The next task and the role wait; an exit code other than 0 blocks the instance.
    Simple,
    /// Runs beside the role.
    Background,
    /// Runs beside the role; the role is not recycled before it ends.
    Foreground,
}

/// `<Runtime>`: how the role itself runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtime {
    /// `executionContext="elevated"`.
    pub elevated: bool,
    /// Environment variables of the program.
    pub variables: Vec<Variable>,
    /// What runs.
    pub program: Option<Program>,
}

/// `<ProgramEntryPoint>`: the role's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The command, relative to the role's folder.
    pub command_line: String,
    /// The instance is ready as soon as the program runs; otherwise when it says so.
    pub ready_on_start: bool,
}

const STARTUP: Shape = Shape { attributes: &["priority"], once: &[], many: &["Task"] };
const TASK: Shape =
    Shape { attributes: &["commandLine", "executionContext", "taskType"], once: &["Environment"], many: &[] };
const RUNTIME: Shape =
    Shape { attributes: &["executionContext"], once: &["Environment", "EntryPoint"], many: &[] };
const ENTRY_POINT: Shape =
    Shape { attributes: &[], once: &["ProgramEntryPoint", "NetFxEntryPoint"], many: &[] };
const PROGRAM_ENTRY_POINT: Shape = Shape::leaf(&["commandLine", "setReadyOnProcessStart"]);

/// `priority` of `<Startup>` orders the tasks of imported modules, of which none runs here.
const PRIORITY_MAX: u32 = i32::MAX.unsigned_abs();
/// How the names of programs end on Windows.
const WINDOWS_ENDINGS: [&str; 5] = [".cmd", ".bat", ".exe", ".ps1", ".vbs"];

/// Reads the startup tasks of `role`.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Vec<StartupTask> {
    let mut tasks = Vec::new();
    for startup in children(role, "Startup") {
        reader.shape(startup, &STARTUP);
        reader.number(startup, "priority", 0..=PRIORITY_MAX);
        for node in children(startup, "Task") {
            reader.shape(node, &TASK);
            let kinds = [
                ("simple", TaskKind::Simple),
                ("background", TaskKind::Background),
                ("foreground", TaskKind::Foreground),
            ];
            tasks.push(StartupTask {
                command_line: command_line(reader, node),
                elevated: elevated(reader, node),
                kind: reader.choice(node, "taskType", &kinds).unwrap_or(TaskKind::Simple),
                variables: variable::read_all(reader, node),
            });
        }
    }
    tasks
}

/// Reads the `<Runtime>` of `role`.
pub(crate) fn read_runtime<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Runtime {
    let Some(node) = children(role, "Runtime").next() else { return Runtime::default() };
    reader.shape(node, &RUNTIME);
    let entry_point = children(node, "EntryPoint").next();
    Runtime {
        elevated: elevated(reader, node),
        variables: variable::read_all(reader, node),
        program: entry_point.and_then(|entry_point| read_program(reader, entry_point)),
    }
}

fn read_program<'d, 'i>(reader: &mut Reader<'d, 'i>, entry_point: Node<'d, 'i>) -> Option<Program> {
    reader.shape(entry_point, &ENTRY_POINT);
    if let Some(net_fx) = children(entry_point, "NetFxEntryPoint").next() {
        let message = String::from(
            "<NetFxEntryPoint> needs .NET Framework, which a Linux guest does not have; \
             write <ProgramEntryPoint commandLine=\"…\" setReadyOnProcessStart=\"true\" />",
        );
        reader.problem(net_fx, message);
    }
    let node = children(entry_point, "ProgramEntryPoint").next()?;
    reader.shape(node, &PROGRAM_ENTRY_POINT);
    Some(Program {
        command_line: command_line(reader, node),
        ready_on_start: reader.flag(node, "setReadyOnProcessStart").unwrap_or(true),
    })
}

fn command_line<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> String {
    let command_line = reader.required(node, "commandLine").trim();
    if command_line.contains('\0') || command_line.contains('\n') {
        reader.bad_value(node, "commandLine", "one line");
    }
    let program = command_line.split_whitespace().next().unwrap_or_default();
    let lower = program.to_ascii_lowercase();
    if WINDOWS_ENDINGS.iter().any(|ending| lower.ends_with(ending)) || program.contains('\\') {
        let message = format!(
            "commandLine={} looks like a program of Windows; a Linux guest runs a Linux program of that name only, \
             with \"/\" between the parts of its path",
            echo(command_line)
        );
        reader.warning(node, message);
    }
    command_line.to_owned()
}

fn elevated<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> bool {
    reader.choice(node, "executionContext", &[("limited", false), ("elevated", true)]).unwrap_or(false)
}
