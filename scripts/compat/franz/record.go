package main

import (
	"encoding/json"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is one record as JSON. Bytes are base64; null keys and values stay null, empty ones "".
// The Python driver reads and writes the same.
type record struct {
	Key     *[]byte  `json:"k"`
	Value   *[]byte  `json:"v"`
	Headers []header `json:"h"`
	// Milliseconds since the epoch; 0 in input means now.
	Timestamp int64 `json:"t"`

	// Only in output.
	Offset     int64  `json:"o"`
	Codec      string `json:"codec,omitempty"`
	AppendTime bool   `json:"append_time"`
	ProducerID int64  `json:"pid"`
}

type header struct {
	Name  string  `json:"n"`
	Value *[]byte `json:"v"`
}

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

func nullable(b []byte) *[]byte {
	if b == nil {
		return nil
	}
	return &b
}

func bytesOf(b *[]byte) []byte {
	if b == nil {
		return nil
	}
	if *b == nil {
		return []byte{}
	}
	return *b
}

func outgoing(line []byte) (*kgo.Record, error) {
	var in record
	if err := json.Unmarshal(line, &in); err != nil {
		return nil, err
	}
	out := &kgo.Record{Key: bytesOf(in.Key), Value: bytesOf(in.Value)}
	for _, h := range in.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Name, Value: bytesOf(h.Value)})
	}
	if in.Timestamp != 0 {
		out.Timestamp = time.UnixMilli(in.Timestamp)
	}
	return out, nil
}

func incoming(r *kgo.Record) ([]byte, error) {
	out := record{
		Key:        nullable(r.Key),
		Value:      nullable(r.Value),
		Headers:    []header{},
		Timestamp:  r.Timestamp.UnixMilli(),
		Offset:     r.Offset,
		Codec:      codecNames[r.Attrs.CompressionType()],
		AppendTime: r.Attrs.TimestampType() == 1,
		ProducerID: r.ProducerID,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, header{Name: h.Key, Value: nullable(h.Value)})
	}
	return json.Marshal(out)
}
