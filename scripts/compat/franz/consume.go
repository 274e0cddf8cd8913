package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// consume prints count records and checks that offsets only grow.
func consume(ctx context.Context, client *kgo.Client, from *target, count int, to io.Writer) error {
	out := bufio.NewWriterSize(to, 1<<20)
	defer out.Flush()
	seen, last := 0, int64(-1)
	for seen < count {
		fetches := client.PollRecords(ctx, count-seen)
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("after %d of %d records: %w", seen, count, errs[0].Err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			if r.Offset <= last {
				return fmt.Errorf("offset %d came after %d", r.Offset, last)
			}
			last = r.Offset
			seen++
			if err := printRecord(out, r, from.json); err != nil {
				return err
			}
		}
	}
	return nil
}

func printRecord(out *bufio.Writer, r *kgo.Record, asJSON bool) error {
	line := r.Value
	if asJSON {
		var err error
		if line, err = incoming(r); err != nil {
			return err
		}
	}
	if _, err := out.Write(line); err != nil {
		return err
	}
	return out.WriteByte('\n')
}
