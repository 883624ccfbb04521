package paint_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/ui/chart"
)

// BenchmarkPicturesBesideRrdtool draws 7 fields of 400 points: as SVG, as PNG, by a new process of rrdtool graph for each
// picture, and by one process that is fed through a pipe. It prints how many times as long rrdtool takes.
func BenchmarkPicturesBesideRrdtool(b *testing.B) {
	rrdtool := testenv.Program(b, "rrdtool")
	args := sevenRRDs(b, rrdtool)
	p, m := painter(b), seven(b)
	pic := chart.Picture{Width: 497, Height: 233, Theme: chart.LightTheme}
	// A machine that does other things slows every one of the four now and then: the least of many runs is compared.
	least := func(f func()) time.Duration {
		best := time.Hour
		for range 40 {
			begin := time.Now()
			f()
			best = min(best, time.Since(begin))
		}
		return best
	}
	svgBytes, pngBytes := 0, 0
	var svg, png, fork, pipe time.Duration
	for b.Loop() {
		svg = least(func() { svgBytes = len(m.SVG(pic)) })
		png = least(func() {
			body, err := p.PNG(m, pic)
			if err != nil {
				b.Fatal(err)
			}
			pngBytes = len(body)
		})
		fork = least(func() {
			if out, err := exec.Command(rrdtool, append([]string{"graph", "-"}, args...)...).Output(); err != nil || len(out) < 1000 {
				b.Fatalf("rrdtool graph: %v, %d bytes", err, len(out))
			}
		})
		draw, stop := piped(b, rrdtool, args)
		pipe = least(draw)
		stop()
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(svg), "ms/svg")
	b.ReportMetric(ms(png), "ms/png")
	b.ReportMetric(ms(fork), "ms/rrdtool-fork")
	b.ReportMetric(ms(pipe), "ms/rrdtool-pipe")
	b.ReportMetric(fork.Seconds()/svg.Seconds(), "fork/svg")
	b.ReportMetric(pipe.Seconds()/svg.Seconds(), "pipe/svg")
	b.ReportMetric(fork.Seconds()/png.Seconds(), "fork/png")
	b.ReportMetric(pipe.Seconds()/png.Seconds(), "pipe/png")
	b.ReportMetric(float64(svgBytes), "svg-bytes")
	b.ReportMetric(float64(pngBytes), "png-bytes")
}

// sevenRRDs keeps the values of seven as Munin does, and gives what tells rrdtool to draw them as Munin draws.
func sevenRRDs(b *testing.B, rrdtool string) []string {
	b.Helper()
	dir := b.TempDir()
	m := seven(b)
	first := start.Unix()
	args := []string{
		"--start", strconv.FormatInt(first, 10), "--end", strconv.FormatInt(first+400*300, 10), "--width", "400", "--height", "175",
		"--slope-mode", "--imgformat", "PNG", "--base", "1000", "-l", "0", "--title", "CPU usage", "--vertical-label", "percent",
	}
	var lines []string
	for i := range m.Curves {
		c := &m.Curves[i]
		path := filepath.Join(dir, c.Field+".rrd")
		create := []string{"create", path, "--start", strconv.FormatInt(first, 10), "--step", "300", "DS:42:GAUGE:600:U:U"}
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			create = append(create, "RRA:"+function+":0.5:1:576", "RRA:"+function+":0.5:6:432")
		}
		update := []string{"update", path}
		for n, v := range c.Values {
			update = append(update, fmt.Sprintf("%d:%.6f", first+int64(n+1)*300, v))
		}
		for _, command := range [][]string{create, update} {
			if out, err := exec.Command(rrdtool, command...).CombinedOutput(); err != nil {
				b.Fatalf("rrdtool %s: %v %s", command[0], err, out)
			}
		}
		shape := "AREA"
		if c.Stacked {
			shape = "STACK"
		}
		args = append(args, "DEF:g"+c.Field+"="+path+":42:AVERAGE", "DEF:i"+c.Field+"="+path+":42:MIN", "DEF:a"+c.Field+"="+path+":42:MAX")
		lines = append(lines, shape+":g"+c.Field+c.Colour.Light+":"+c.Label, "GPRINT:g"+c.Field+":LAST:%6.2lf%s", "GPRINT:i"+c.Field+":MIN:%6.2lf%s",
			"GPRINT:g"+c.Field+":AVERAGE:%6.2lf%s", "GPRINT:a"+c.Field+":MAX:%6.2lf%s\\j")
	}
	return append(args, lines...)
}

// piped is one rrdtool that draws again and again.
func piped(b *testing.B, rrdtool string, args []string) (draw, stop func()) {
	b.Helper()
	cmd := exec.Command(rrdtool, "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var line strings.Builder
	line.WriteString("graph " + filepath.Join(b.TempDir(), "out.png"))
	for _, arg := range args {
		line.WriteString(" '" + arg + "'")
	}
	answers := bufio.NewReader(stdout)
	draw = func() {
		if _, err := io.WriteString(stdin, line.String()+"\n"); err != nil {
			b.Fatal(err)
		}
		for {
			answer, err := answers.ReadString('\n')
			if err != nil || strings.HasPrefix(answer, "ERROR") {
				b.Fatalf("rrdtool by pipe: %q, %v", answer, err)
			}
			if strings.HasPrefix(answer, "OK") {
				return
			}
		}
	}
	stop = func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("rrdtool by pipe ends: %v", err)
		}
	}
	return draw, stop
}
