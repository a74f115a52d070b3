//! What the rows call in other processes.

use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcReceiver, IpcSender};
use procession::Connection;

pub fn next(x: u64) -> u64 {
    x + 1
}

pub fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Solutions of the queens' puzzle on a board of this size, with these queens in the first two rows.
pub fn queens((size, first, second): (u32, u32, u32)) -> u64 {
    fn place(all: u32, columns: u32, left: u32, right: u32) -> u64 {
        if columns == all {
            return 1;
        }
        let mut free = all & !(columns | left | right);
        let mut count = 0;
        while free != 0 {
            let one = free & free.wrapping_neg();
            free ^= one;
            count += place(all, columns | one, (left | one) << 1, (right | one) >> 1);
        }
        count
    }
    if first.abs_diff(second) < 2 {
        return 0;
    }
    let (one, two) = (1 << first, 1 << second);
    place((1 << size) - 1, one | two, (one << 2) | (two << 1), (one >> 2) | (two >> 1))
}

/// All boards of one size.
pub fn boards(size: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    (0..size * size).map(move |number| (size, number / size, number % size))
}

pub fn echo_over_pipe(connection: Connection<Vec<u8>>) {
    while let Ok(message) = connection.recv() {
        if connection.send(&message).is_err() {
            return;
        }
    }
}

/// The two ends of a channel of the crate ipc-channel, for whoever knows the name of the other side.
pub type Ends = (IpcBytesSender, IpcSender<IpcBytesSender>);

pub fn echo_over_ipc_channel(name: String) {
    let (to_us, from_them) = ipc::bytes_channel().unwrap();
    let (answers_to, answers): (IpcSender<IpcBytesSender>, IpcReceiver<IpcBytesSender>) = ipc::channel().unwrap();
    IpcSender::<Ends>::connect(name).unwrap().send((to_us, answers_to)).unwrap();
    let back = answers.recv().unwrap();
    serve(&from_them, &back);
}

fn serve(from: &IpcBytesReceiver, back: &IpcBytesSender) {
    while let Ok(message) = from.recv() {
        if back.send(&message).is_err() {
            return;
        }
    }
}
