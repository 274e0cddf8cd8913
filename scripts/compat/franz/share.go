package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz-go's share consumer, which says what happens, one JSON object a line; written alike for every client (see
// ../suite/sharing.py, which says how records are acknowledged). It leaves on SIGTERM. It is told of acknowledgements by partition
// only, so it waits for the answers to all that it sends, whatever --commit says.

type given struct {
	Name      string  `json:"name"`
	At        float64 `json:"at"`
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Delivery  int32   `json:"delivery"`
	Value     string  `json:"value"`
	Ack       string  `json:"ack"`
}

type offsetsOf struct {
	Partition int32   `json:"partition"`
	Offsets   []int64 `json:"offsets"`
}

type answer struct {
	Name       string      `json:"name"`
	At         float64     `json:"at"`
	Partitions []offsetsOf `json:"partitions"`
	Error      *string     `json:"error"`
}

type sharer struct {
	ack    string
	pause  time.Duration
	random *rand.Rand
	input  chan string
	says   *voice
	client *kgo.Client

	lock   sync.Mutex
	failed map[int32]string // by partition, since the last flush
}

var statuses = map[string]kgo.AckStatus{"accept": kgo.AckAccept, "release": kgo.AckRelease, "reject": kgo.AckReject}

func share(args []string) error {
	s := sharer{says: &voice{to: json.NewEncoder(os.Stdout)}, input: make(chan string, 100), failed: map[int32]string{}}
	set := flag.NewFlagSet("share", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	group := set.String("group", "", "group")
	topic := set.String("topic", "", "topic")
	set.StringVar(&s.ack, "ack", "", "implicit, value, ask or random")
	set.String("commit", "", "has no meaning here")
	most := set.Int("max-poll", 500, "records of a poll")
	pause := set.Int("pause-ms", 0, "longest pause after a poll")
	seed := set.Int64("seed", 0, "of what is random")
	if err := set.Parse(args); err != nil {
		return err
	}
	s.pause, s.random = time.Duration(*pause)*time.Millisecond, rand.New(rand.NewSource(*seed))
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(*bootstrap, ",")...), kgo.ShareGroup(*group), kgo.ConsumeTopics(*topic),
		kgo.ShareMaxRecords(int32(*most)), kgo.ShareAckCallback(s.answered))
	if err != nil {
		return err
	}
	s.client = client
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			s.input <- lines.Text()
		}
	}()
	s.says.say(event{Name: "startup_complete"})
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, *most)
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) {
				s.says.say(event{Name: "error", Topic: topic, Partition: partition, Error: err.Error()})
			}
		})
		if records := fetches.Records(); len(records) > 0 {
			if err := s.process(ctx, records); err != nil {
				return err
			}
		}
	}
	client.Close()
	s.says.say(event{Name: "shutdown_complete"})
	return nil
}

func (s *sharer) answered(_ *kgo.Client, results kgo.ShareAckResults) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, result := range results {
		if result.Err != nil {
			why := result.Err.Error()
			var known *kerr.Error
			if errors.As(result.Err, &known) {
				why = known.Message
			}
			s.failed[result.Partition] = why
		}
	}
}

func (s *sharer) process(ctx context.Context, records []*kgo.Record) error {
	chosen := make([]string, len(records))
	for at, r := range records {
		chosen[at] = s.choose(r)
		s.says.tell(&given{"record_data", monotonic(), r.Topic, r.Partition, r.Offset, r.DeliveryCount(), string(r.Value), chosen[at]})
	}
	told := ""
	if s.ack == "ask" {
		s.says.say(event{Name: "asking"})
		select {
		case told = <-s.input:
		case <-ctx.Done():
			return nil
		}
	}
	time.Sleep(time.Duration(s.random.Int63n(int64(s.pause) + 1)))
	if s.ack == "implicit" {
		return nil
	}
	offsets := map[int32][]int64{}
	for at, r := range records {
		word := chosen[at]
		if told != "" {
			word = told
		}
		status, known := statuses[word]
		if !known {
			return fmt.Errorf("%q is no way to acknowledge", word)
		}
		r.Ack(status)
		offsets[r.Partition] = append(offsets[r.Partition], r.Offset)
	}
	flush, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s.tell(offsets, s.client.FlushAcks(flush))
	return nil
}

// tell says what became of the acknowledgements of a poll.
func (s *sharer) tell(offsets map[int32][]int64, failed error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for partition, of := range offsets {
		said := answer{Name: "acknowledged", At: monotonic(), Partitions: []offsetsOf{{partition, of}}}
		if why, found := s.failed[partition]; found {
			said.Error = &why
		} else if failed != nil {
			why := failed.Error()
			said.Error = &why
		}
		s.says.tell(&said)
	}
	clear(s.failed)
}

func (s *sharer) choose(r *kgo.Record) string {
	switch s.ack {
	case "random":
		dice := s.random.Intn(100)
		if dice < 85 {
			return "accept"
		} else if dice < 95 {
			return "release"
		}
		return "reject"
	case "value":
		word, _, _ := strings.Cut(string(r.Value), " ")
		if word != "retry" {
			return word
		}
		if r.DeliveryCount() == 1 {
			return "release"
		}
		return "accept"
	}
	return s.ack
}
