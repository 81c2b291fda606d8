//! Below the frames: what is no text, no UTF-8, no WebSocket, or too large.

use crate::house::House;
use futures_util::SinkExt;
use lockstep_model::{Code, limits};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn binary_frames_are_refused() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let mut wire = house.live(&ana).await;
    wire.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(wire.closed().await, Code::BinaryFrame);
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_before_it_is_read() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let mut wire = house.live(&ana).await;
    // Only the head: 1 GiB is announced and never comes.
    write(&mut wire, &[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]).await;
    assert_eq!(wire.closed().await, Code::FrameTooLarge);
    let mut wire = house.live(&ana).await;
    wire.socket.send(Message::text("x".repeat(limits::FRAME_BYTES_MAX + 1))).await.unwrap();
    assert_eq!(wire.closed().await, Code::FrameTooLarge);
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_refused() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let cases: [(&[u8], Code); 4] = [
        // Masked with zeros: the payload stands as it is.
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], Code::BadUtf8),
        // Not masked.
        (&[0x81, 0x02, b'{', b'}'], Code::BadWebSocket),
        // RSV1: a compressed frame, which nobody agreed on.
        (&[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}'], Code::BadWebSocket),
        // A reserved opcode.
        (&[0x83, 0x80, 0, 0, 0, 0], Code::BadWebSocket),
    ];
    for (bytes, code) in cases {
        let mut wire = house.live(&ana).await;
        write(&mut wire, bytes).await;
        assert_eq!(wire.closed().await, code, "{bytes:?}");
    }
}

/// Writes below the WebSocket.
async fn write(wire: &mut crate::house::Wire, bytes: &[u8]) {
    let MaybeTlsStream::Plain(stream) = wire.socket.get_mut() else { panic!("a loopback socket is plain") };
    stream.write_all(bytes).await.unwrap();
}
