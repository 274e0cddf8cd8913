package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A line of a log can be long; a record may be a mebibyte, and a third more as JSON.
const maxLine = 4 << 20

func producerOptions(to *target, codec, acks string) ([]kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
	compression, known := codecs[codec]
	if !known {
		return nil, fmt.Errorf("unknown codec %q", codec)
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(to.bootstrap, ",")...),
		kgo.DefaultProduceTopic(to.topic),
		kgo.ProducerBatchCompression(compression),
	}
	if to.partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	} else {
		options = append(options, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	}
	switch acks {
	case "all": // franz-go's default: acks=all, idempotent
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, fmt.Errorf("unknown acks %q", acks)
	}
	return options, nil
}

// produce sends every line of in as one record and reports the first error.
func produce(ctx context.Context, client *kgo.Client, to *target, in io.Reader) error {
	var (
		once  sync.Once
		first error
	)
	failed := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { first = err })
		}
	}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	scanner.Split(wholeLines)
	for scanner.Scan() {
		record, err := toSend(scanner.Bytes(), to.json)
		if err != nil {
			return err
		}
		if to.partition >= 0 {
			record.Partition = int32(to.partition)
		}
		client.Produce(ctx, record, failed)
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	return first
}

func toSend(line []byte, asJSON bool) (*kgo.Record, error) {
	if asJSON {
		return outgoing(line)
	}
	// The scanner reuses its buffer; the client keeps the value until it is sent.
	return &kgo.Record{Value: bytes.Clone(line)}, nil
}

// wholeLines splits at \n only: bufio.ScanLines would also eat a \r before it.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if end := bytes.IndexByte(data, '\n'); end >= 0 {
		return end + 1, data[:end], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errors.New("the last line has no end")
	}
	return 0, nil, nil
}
