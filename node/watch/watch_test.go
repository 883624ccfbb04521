package watch_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"corbie/munin"
	"corbie/node/watch"
)

var update = flag.Bool("update", false, "rewrite the expected screens in testdata")

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// feed adds n runs, two seconds apart. The values may hold %d, the number of the run from 0.
func feed(v *watch.View, n int, config string, values func(i int) string) {
	for i := range n {
		v.Add(watch.Run{
			At: start.Add(time.Duration(i) * 2 * time.Second), Took: 12 * time.Millisecond,
			Config: munin.ParseConfig("queue", []byte(config)), Values: munin.ParseFetch("queue", []byte(values(i))),
		})
	}
}

const queueConfig = `graph_title Mails in the queue
graph_vlabel mails
waiting.label waiting
waiting.warning 80
waiting.critical 95
`

const trafficConfig = `graph_title Traffic
graph_args --base 1000
graph_vlabel bits in (-) / out (+) per ${graph_period}
down.label received
down.type DERIVE
down.min 0
down.graph no
down.cdef down,8,*
up.label bps
up.type DERIVE
up.min 0
up.negative down
up.cdef up,8,*
multigraph queue_stack
graph_title Stack
graph_args --base 1024 -l 0
used.label used by programs with a very long name indeed
used.draw AREA
cache.label cache
cache.draw STACK
`

func traffic(i int) string {
	return fmt.Sprintf("down.value %d\nup.value %d\nmultigraph queue_stack\nused.value %d\ncache.value %d\n",
		i*i*1000, i*40000, 1<<30+i<<24, 1<<29)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func wave(i int) string {
	if i == 30 {
		return "waiting.value U\n"
	}
	return fmt.Sprintf("waiting.value %.0f\n", 50+40*math.Sin(float64(i)/9))
}

func TestScreens(t *testing.T) {
	queue := watch.New("queue")
	feed(queue, 120, queueConfig, wave)
	golden(t, "queue.txt", strings.Join(queue.Screen(watch.Style{Width: 80, Height: 24}), "\n")+"\n")
	golden(t, "queue-small.txt", strings.Join(queue.Screen(watch.Style{Width: 40, Height: 10}), "\n")+"\n")

	net := watch.New("queue")
	feed(net, 60, trafficConfig, traffic)
	golden(t, "traffic.txt", strings.Join(net.Screen(watch.Style{Width: 80, Height: 24}), "\n")+"\n")
	golden(t, "stack.txt", strings.Join(net.Screen(watch.Style{Width: 80, Height: 24, Graph: "queue_stack"}), "\n")+"\n")
	golden(t, "snapshot.txt", net.Text())
}

func TestAFailureIsShownAndLeavesAGap(t *testing.T) {
	v := watch.New("queue")
	feed(v, 10, queueConfig, wave)
	v.Add(watch.Run{At: start.Add(time.Minute), Failure: "bad exit: exit status 3", Words: []string{"stderr: no such table"}})
	screen := strings.Join(v.Screen(watch.Style{Width: 80, Height: 24}), "\n")
	for _, want := range []string{"failed: bad exit: exit status 3", "stderr: no such table", "Mails in the queue", "unknown"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen does not show %q:\n%s", want, screen)
		}
	}
	fresh := watch.New("queue")
	fresh.Add(watch.Run{At: start, Failure: "timed out"})
	if screen := strings.Join(fresh.Screen(watch.Style{Width: 80, Height: 24}), "\n"); !strings.Contains(screen, "timed out") {
		t.Errorf("a first run that fails is not shown:\n%s", screen)
	}
}

func TestAnotherTypeBeginsAnew(t *testing.T) {
	v := watch.New("queue")
	feed(v, 5, "graph_title x\na.label a\n", func(i int) string { return fmt.Sprintf("a.value %d", i*10) })
	if v.HasRates() || !strings.Contains(v.Text(), " 40 ") {
		t.Errorf("a gauge:\n%s", v.Text())
	}
	feed(v, 1, "graph_title x\na.label a\na.type DERIVE\n", func(int) string { return "a.value 100" })
	if !v.HasRates() || strings.Contains(v.Text(), " 40 ") {
		t.Errorf("after it became a counter:\n%s", v.Text())
	}
	v.Add(watch.Run{
		At: start.Add(10 * time.Second), Config: munin.ParseConfig("queue", []byte("graph_title x\na.label a\na.type DERIVE\n")),
		Values: munin.ParseFetch("queue", []byte("a.value 200")),
	})
	if !strings.Contains(v.Text(), " 10 ") {
		t.Errorf("100 in ten seconds are not 10 a second:\n%s", v.Text())
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9]*m")

// FuzzScreen wants that no plugin can draw outside of the screen or send codes to the terminal.
func FuzzScreen(f *testing.F) {
	f.Add([]byte(queueConfig), []byte("waiting.value 1e300\n"), []byte("waiting.value -inf\n"), 80, 24, true)
	f.Add([]byte(trafficConfig), []byte(traffic(1)), []byte(traffic(2)), 40, 10, false)
	f.Add([]byte("graph_title \x1b[2J\nx.label \xff\x9b\nx.cdef x,1,*\nx.warning -1e308:1e308\n"), []byte("x.value 1e308\n"), []byte("x.value -1e308\n"), 1, 1, true)
	f.Fuzz(func(t *testing.T, config, one, two []byte, width, height int, colour bool) {
		if width > 500 || height > 200 {
			return
		}
		v := watch.New("queue")
		for i, values := range [][]byte{one, two, one} {
			v.Add(watch.Run{
				At: start.Add(time.Duration(i) * time.Second), Config: munin.ParseConfig("queue", config),
				Values: munin.ParseFetch("queue", values),
			})
		}
		lines := v.Screen(watch.Style{Width: width, Height: height, Colour: colour})
		if len(lines) > max(height, 10) {
			t.Fatalf("%d lines in a height of %d", len(lines), height)
		}
		for _, line := range lines {
			bare := escape.ReplaceAllString(line, "")
			if !colour && bare != line {
				t.Fatalf("colours without being asked for: %q", line)
			}
			if n := utf8.RuneCountInString(bare); n > max(width, 40) || munin.CleanText(bare) != strings.TrimSpace(bare) {
				t.Fatalf("%d characters in a width of %d, or not printable: %q", n, width, line)
			}
		}
		if text := v.Text(); strings.Contains(text, "\x1b") {
			t.Fatalf("a snapshot with codes: %q", text)
		}
	})
}
