package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The failover programs run while brokers come and go, each written alike for every client (see ../suite/failover.py):
// a producer that counts from 0 in each partition and prints what is acknowledged, and a consumer that prints what it
// reads until it has been told where to end. Both go on until their input ends.

// inputEnds is closed when there is nothing more to read; lines gets each line before that.
func inputEnds(lines func(string)) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			lines(scanner.Text())
		}
	}()
	return ended
}

func failoverProduce(args []string) error {
	set := flag.NewFlagSet("failover-produce", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	topic := set.String("topic", "", "topic")
	partitions := set.Int("partitions", 1, "its partitions")
	rate := set.Int("rate", 100, "records a second")
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	sender := &sender{client: client, out: bufio.NewWriter(os.Stdout), failed: make(chan error, 1)}
	ended := inputEnds(func(string) {})
	tick := time.NewTicker(time.Second / time.Duration(*rate))
	defer tick.Stop()
	for sent := 0; ; sent++ {
		select {
		case <-ended:
			return sender.finish()
		case err := <-sender.failed:
			return err
		case <-tick.C:
			sender.send(int32(sent%*partitions), sent / *partitions)
		}
	}
}

type sender struct {
	client *kgo.Client
	lock   sync.Mutex
	out    *bufio.Writer
	failed chan error
}

func (s *sender) send(partition int32, sequence int) {
	record := &kgo.Record{Partition: partition, Value: []byte(strconv.Itoa(sequence))}
	s.client.Produce(context.Background(), record, func(r *kgo.Record, err error) {
		s.lock.Lock()
		defer s.lock.Unlock()
		if err != nil {
			select {
			case s.failed <- fmt.Errorf("partition %d, record %d: %w", partition, sequence, err):
			default:
			}
			return
		}
		fmt.Fprintf(s.out, "%d %d %d\n", partition, sequence, r.Offset)
		s.out.Flush()
	})
}

func (s *sender) finish() error {
	if err := s.client.Flush(context.Background()); err != nil {
		return err
	}
	select {
	case err := <-s.failed:
		return err
	default:
		return nil
	}
}

// position is where a partition was read to, or is to be read to.
type position struct {
	topic     string
	partition int32
}

func failoverConsume(args []string) error {
	set := flag.NewFlagSet("failover-consume", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	topics := set.String("topics", "", "topics, with commas")
	partitions := set.Int("partitions", 1, "of each topic")
	if err := set.Parse(args); err != nil {
		return err
	}
	from := map[string]map[int32]kgo.Offset{}
	for _, topic := range strings.Split(*topics, ",") {
		from[topic] = map[int32]kgo.Offset{}
		for p := 0; p < *partitions; p++ {
			from[topic][int32(p)] = kgo.NewOffset().At(0)
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.ConsumePartitions(from),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	return readUntilTold(client, os.Stdout)
}

func readUntilTold(client *kgo.Client, to io.Writer) error {
	out := bufio.NewWriter(to)
	next, ends := map[position]int64{}, map[position]int64{}
	ended := inputEnds(func(line string) {
		var at position
		var end int64
		if _, err := fmt.Sscanf(line, "%s %d %d", &at.topic, &at.partition, &end); err == nil {
			ends[at] = end
		}
	})
	for {
		select {
		case <-ended:
			if reached(next, ends) {
				return nil
			}
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		for _, failed := range fetches.Errors() {
			if failed.Err != context.DeadlineExceeded {
				return fmt.Errorf("%s-%d: %w", failed.Topic, failed.Partition, failed.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next[position{r.Topic, r.Partition}] = r.Offset + 1
			fmt.Fprintf(out, "%s %d %d %s\n", r.Topic, r.Partition, r.Offset, r.Value)
		})
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func reached(next, ends map[position]int64) bool {
	for at, end := range ends {
		if next[at] < end {
			return false
		}
	}
	return true
}
