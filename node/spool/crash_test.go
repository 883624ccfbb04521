package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/node/spool"
)

// TestMain is a program that fills a spool when it is told to, so that the test can kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_CHILD"); dir != "" {
		if err := child(dir, os.Getenv("SPOOL_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // this is a main
		}
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // so is this
}

// child appends samples and answers every line on its input, a time, as a node answers spoolfetch. It says
// "A NUMBER" after every sample and "F BYTES" before every answer.
func child(dir, round string) error {
	s, err := spool.Open(dir, spool.Options{Segment: 16 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	go func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		for i := 0; ; i++ {
			<-ticker.C
			// No plugin has two samples in one second.
			plugin := fmt.Sprintf("p%s_%d", round[len(round)-1:], i%500)
			config := spool.ParseConfig(plugin, []byte("a.label A\n"), 0)
			err := s.Append(spool.Sample{
				Plugin: plugin, At: time.Now(), Config: &config,
				Values: spool.ParseValues(plugin, fmt.Appendf(nil, "a.value %s%06d\n", round, i), time.Now()),
			})
			if err != nil {
				i-- // One of the same plugin a second ago.
				continue
			}
			mu.Lock()
			fmt.Printf("A %d\n", i)
			mu.Unlock()
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		since, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if _, err := s.Fetch(context.Background(), &b, "", since); err != nil {
			return err
		}
		mu.Lock()
		fmt.Printf("F %d\n%s", b.Len(), b.Bytes())
		mu.Unlock()
	}
	return nil
}

// TestNothingThatWasFetchedIsLostOrRepeatedByKills kills the writer a hundred times, at any moment.
func TestNothingThatWasFetchedIsLostOrRepeatedByKills(t *testing.T) {
	dir := t.TempDir()
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	var m master
	kept := make(map[int]int) // number of samples that a round said it had kept
	for round := range rounds {
		kept[round+1] = liveAndDie(t, dir, round+1, &m)
	}
	s := open(t, dir, spool.Options{})
	awaitNextSecond()
	m.poll(t, s)
	m.poll(t, s)

	rest := make(map[int]map[int]bool)
	for value, times := range m.seen {
		if times != 1 {
			t.Errorf("%s came %d times", value, times)
		}
		number, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ':')+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		round, i := int(number)/1e6, int(number)%1e6
		if rest[round] == nil {
			rest[round] = make(map[int]bool)
		}
		rest[round][i] = true
	}
	total := 0
	for round, n := range kept {
		total += len(rest[round])
		if len(rest[round]) < n {
			t.Errorf("round %d kept %d samples, and %d arrived", round, n, len(rest[round]))
		}
		for i := range len(rest[round]) {
			if !rest[round][i] {
				t.Errorf("round %d: sample %d is missing", round, i)
			}
		}
	}
	if total < 5*rounds {
		t.Errorf("only %d samples in %d rounds", total, rounds)
	}
	t.Logf("%d samples, %+v", total, s.Status())
}

// liveAndDie starts a child, asks it now and then, and kills it. It returns how many samples it said it had kept.
func liveAndDie(t *testing.T, dir string, round int, m *master) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_CHILD="+dir, fmt.Sprintf("SPOOL_ROUND=%d", round))
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kept, asked := 0, false
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		var n int
		if _, err := fmt.Sscanf(line[1:], "%d", &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if line[0] == 'A' {
			kept = n + 1
			if n%7 == 3 && !asked {
				asked = true
				_, _ = fmt.Fprintf(in, "%d\n", m.since) // It may be dead.
			}
			if n == 8+round%13 {
				_ = cmd.Process.Kill() // The same.
			}
			continue
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			break // The answer is not whole: a master throws it away.
		}
		m.take(t, string(body))
		asked = false
	}
	_ = cmd.Wait() // It was killed.
	return kept
}

// awaitNextSecond waits until what is in the spool is complete.
func awaitNextSecond() {
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 10*time.Millisecond)))
}

// FuzzRecords reads segments that anything may have been done to, before a record that is whole.
func FuzzRecords(f *testing.F) {
	whole := spool.Segment("load", "multigraph load\na.value 1\n", "cpu", strings.Repeat("x", 100), "df", "")
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(append(bytes.Clone(whole[:60]), whole[50:]...))
	f.Add(bytes.Repeat([]byte("\xc3Sp\x1a"), 100))
	good := spool.Segment("good", "multigraph good\na.value 2\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		records, damaged, rest, err := spool.Scan(data)
		if err != nil || len(records)+damaged != len(data) || rest > damaged {
			t.Fatalf("%d bytes: %d of records and %d of none, %d at the end: %v", len(data), len(records), damaged, rest, err)
		}
		after, _, rest, err := spool.Scan(append(bytes.Clone(data), good...))
		if err != nil || !bytes.HasSuffix(after, good) && !bytes.Contains(data, []byte("\xc3Sp\x1a")) || rest != 0 && bytes.HasSuffix(after, good) {
			t.Errorf("the record after the damage is not found: %v", err)
		}
	})
}

// FuzzText takes anything for the output of a plugin: what is served of it is what masters can read.
func FuzzText(f *testing.F) {
	f.Add("graph_title A\na.label B\n", "a.value 1\n")
	f.Add("multigraph x.y\nupdate_rate 10 aligned\na.value 3\n", "multigraph x.y\na.value 1:2\r\n.\nb.extinfo t\n")
	f.Add("multigraph ..\n# timeout\n", "a.value N:-0\n.value 3\n")
	f.Fuzz(func(t *testing.T, config, values string) {
		c := spool.ParseConfig("p", []byte(config), 10*time.Second)
		v := spool.ParseValues("p", []byte(values), time.Unix(1e9, 0))
		if v.Newest > 1e9 {
			t.Errorf("a time in the future: %d", v.Newest)
		}
		for _, text := range []string{string(c.Text), string(v.Text)} {
			if text != "" && !strings.HasPrefix(text, "multigraph ") {
				t.Errorf("it does not begin with a graph: %q", text)
			}
			for line := range strings.Lines(text) {
				if line == ".\n" || line == "\n" || !strings.HasSuffix(line, "\n") || strings.Contains(line, "# timeout") || strings.Contains(line, "\r") {
					t.Errorf("a line that breaks the protocol: %q", line)
				}
			}
		}
		if reply := munin.ParseFetch("p", v.Text); len(v.Text) > 0 && len(reply.Samples) == 0 {
			t.Errorf("there are no values in %q", v.Text)
		}
	})
}
