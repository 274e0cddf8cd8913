// Load for the coordinators of a broker: each mode does one thing for some seconds, as fast as it is answered, and prints
// one line of JSON.
//
//	coordinators -brokers HOST:PORT transactions -clients 8 -records 10 -seconds 10
//	coordinators -brokers HOST:PORT commits -clients 16 -groups 64 -seconds 10
//	coordinators -brokers HOST:PORT fill -groups 1000 -partitions 1000
//	coordinators -brokers HOST:PORT members -members 10000 -seconds 10
//	coordinators -brokers HOST:PORT fetch -groups 1000 -partitions 1000
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type settings struct {
	brokers    string
	topic      string
	clients    int
	records    int
	groups     int
	partitions int
	members    int
	seconds    int
}

// A measurement: how many of what was done, in which time, and how long each took.
type measured struct {
	Mode      string  `json:"mode"`
	Done      int     `json:"done"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "coordinators:", err)
		os.Exit(1)
	}
}

func client(s settings, options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.brokers)}, options...)...)
	fail(err)
	return made
}

// Runs one thing over and over in so many places until the time is up; the first so many seconds aren't counted.
func repeat(mode string, places int, s settings, one func(place int, turn int) error) {
	const warmUp = 2 * time.Second
	begin := time.Now().Add(warmUp)
	end := begin.Add(time.Duration(s.seconds) * time.Second)
	took := make([][]time.Duration, places)
	var all sync.WaitGroup
	for place := range places {
		all.Add(1)
		go func() {
			defer all.Done()
			for turn := 0; time.Now().Before(end); turn++ {
				at := time.Now()
				fail(one(place, turn))
				if at.After(begin) {
					took[place] = append(took[place], time.Since(at))
				}
			}
		}()
	}
	all.Wait()
	report(mode, took, time.Since(begin).Seconds())
}

func report(mode string, took [][]time.Duration, seconds float64) {
	var sorted []time.Duration
	for _, some := range took {
		sorted = append(sorted, some...)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	at := func(share float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return sorted[int(share*float64(len(sorted)-1))].Seconds() * 1000
	}
	done := len(sorted)
	text, err := json.Marshal(measured{mode, done, seconds, float64(done) / seconds, at(0.5), at(0.99), at(0.999)})
	fail(err)
	fmt.Println(string(text))
}

func main() {
	var s settings
	flag.StringVar(&s.brokers, "brokers", "127.0.0.1:9092", "where to begin")
	flag.Parse()
	modes := map[string]func(context.Context, settings){
		"transactions": transactions, "commits": commits, "fill": fill, "fetch": fetch, "members": members,
	}
	mode, known := modes[flag.Arg(0)]
	if !known {
		fail(fmt.Errorf("no such mode: %q", flag.Arg(0)))
	}
	rest := flag.NewFlagSet(flag.Arg(0), flag.ExitOnError)
	rest.StringVar(&s.topic, "topic", "load", "which is there")
	rest.IntVar(&s.clients, "clients", 8, "at the same time")
	rest.IntVar(&s.records, "records", 10, "in a transaction")
	rest.IntVar(&s.groups, "groups", 64, "of consumers")
	rest.IntVar(&s.partitions, "partitions", 6, "of the topic")
	rest.IntVar(&s.members, "members", 10000, "of one group")
	rest.IntVar(&s.seconds, "seconds", 10, "that are measured")
	fail(rest.Parse(flag.Args()[1:]))
	mode(context.Background(), s)
}
