package testenv

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RRDTool runs rrdtool, in UTC, and returns what it prints.
func RRDTool(tb testing.TB, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), Program(tb, "rrdtool"), args...) //nolint:gosec // what the test asks for
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("rrdtool %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// RRDFetch is what rrdtool fetch says of a file with one source: the known values of one resolution by the end of each row, in seconds since
// 1970 as are from and to.
func RRDFetch(tb testing.TB, path, function string, step time.Duration, from, to int64) map[int64]float64 {
	tb.Helper()
	text := RRDTool(tb, "fetch", path, function, "-r", strconv.Itoa(int(step.Seconds())), "-s", strconv.FormatInt(from, 10), "-e", strconv.FormatInt(to, 10))
	values := make(map[int64]float64)
	for row := range strings.Lines(text) {
		at, value, ok := strings.Cut(strings.TrimSpace(row), ": ")
		end, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(v) {
			values[end] = v
		}
	}
	return values
}
