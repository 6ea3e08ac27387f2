// Package frames joins messages that are encoded already: a repeated field is its framed elements one after another, so a frame
// is made without encoding anything again.
package frames

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const messagesField = protowire.Number(1)

// Frame is a ConnectRequest whose messages are encoded.
type Frame struct {
	buffers mem.BufferSlice
}

// Size returns how many bytes an encoded message takes in a frame.
func Size(message []byte) int {
	return protowire.SizeTag(messagesField) + protowire.SizeBytes(len(message))
}

// Add appends an encoded message, which must not change afterwards.
func (f *Frame) Add(message []byte) {
	head := protowire.AppendVarint(protowire.AppendTag(nil, messagesField, protowire.BytesType), uint64(len(message)))
	f.buffers = append(f.buffers, mem.SliceBuffer(head), mem.SliceBuffer(message))
}

// Empty tells whether nothing was added.
func (f *Frame) Empty() bool { return len(f.buffers) == 0 }

// Bytes returns the encoded frame.
func (f *Frame) Bytes() []byte { return f.buffers.Materialize() }

// Codec sends frames as they are and everything else as protobuf.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is that of the codec it stands in for.
func (Codec) Name() string { return "proto" }

// Marshal encodes a *Frame or a proto.Message.
func (Codec) Marshal(message any) (mem.BufferSlice, error) {
	switch m := message.(type) {
	case *Frame:
		return m.buffers, nil
	case proto.Message:
		encoded, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(encoded)}, err
	}
	return nil, fmt.Errorf("frames: cannot encode a %T", message)
}

// Unmarshal decodes a proto.Message.
func (Codec) Unmarshal(data mem.BufferSlice, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("frames: cannot decode into a %T", message)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	return proto.Unmarshal(buffer.ReadOnlyData(), m)
}
