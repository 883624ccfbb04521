package main_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"corbie/internal/testenv"
	"corbie/munin/wire/wiretest"
	"corbie/node"
)

// clockPlugins say what follows from the time in the file "now", so that two nodes that are asked in the same
// minute say the same. They have every type of field, and every form of value that Munin's master understands.
var clockPlugins = map[string]string{
	"clock": `if [ "$1" = config ]; then
cat <<'END'
graph_title What follows from the time
update_rate 300 aligned
graph_order wave gauge
gauge.label gauge
wave.label wave
wave.min -3
wave.max 3
tiny.label tiny
gaps.label sometimes unknown
sum.label counter
sum.type COUNTER
sum.cdef sum,8,*
step.label derive
step.type DERIVE
step.min 0
since.label absolute
since.type ABSOLUTE
END
exit
fi
n=$((now / 300))
echo "gauge.value $((n % 17))"
echo "wave.value $((n % 7 - 3)).25"
echo "tiny.value 1.5e-0$((n % 4 + 1))"
if [ $((n % 5)) = 2 ]; then echo "gaps.value U"; else echo "gaps.value $n"; fi
echo "sum.value $((now * 3))"
echo "step.value $((n % 9 * 1000))"
echo "since.value $((n % 11 * 300))"`,
	"several": `for graph in several several.one several.two; do
echo "multigraph $graph"
if [ "$1" = config ]; then
printf 'graph_title %s\nupdate_rate 300 aligned\nload.label load\nload.warning 5\n' $graph
else
echo "load.value $((now / 300 % 13 + ${#graph}))"
fi
done`,
	"dirty": `if [ "$1" = config ]; then
printf 'graph_title Values with the config\nlevel.label level\n'
if [ "$MUNIN_CAP_DIRTYCONFIG" != 1 ]; then echo "update_rate 300 aligned"; exit; fi
fi
echo "level.value $((now / 300 % 19))"`,
	"stamped": `if [ "$1" = config ]; then
printf 'graph_title Values with times\nlevel.label level\n'
exit
fi
for before in 540 480 420 360 300; do echo "level.value $((now - before)):$(((now - before) / 60 % 23))"; done`,
}

// frozenPerl makes a Perl program see the time that the environment says. RRDtool's library takes a negative start for
// one before the present, and does not ask Perl what that is.
const frozenPerl = `package Frozen;
use Time::HiRes ();
use RRDs;
no warnings;
BEGIN {
	my $now = $ENV{FROZEN};
	my $create = \&RRDs::create;
	*CORE::GLOBAL::time = sub () { $now };
	*Time::HiRes::gettimeofday = sub { wantarray ? ($now, 0) : $now };
	*RRDs::create = sub {
		my @args = @_;
		$args[2] += $now if $args[1] eq '--start' && $args[2] < 0;
		$create->(@args);
	};
}
1;
`

// restful are plugins of Debian's whose values hardly move within a minute.
func restful() []string { return []string{"df", "df_inode", "entropy", "users"} }

// twin is an hour of a machine, watched by several nodes.
type twin struct {
	*services
	began   time.Time // of the hour
	polls   int       // every five minutes
	masters string    // folder of Munin's master
	account *user.User
}

// TestRRDsAreThoseOfAMasterThatPollsMuninNode is an hour in the life of Debian's master. It polls Debian's node and
// ours, in clear and encrypted, every five minutes; at the end it fetches the hour from the spool of a node that has
// sampled meanwhile. The time is simulated, all programs are real. It wants no complaint, and equal files.
func TestRRDsAreThoseOfAMasterThatPollsMuninNode(t *testing.T) {
	t.Parallel()
	account := needMuninUpdate(t)
	_, err := os.Stat("/usr/sbin/munin-node")
	testenv.Need(t, "munin-node (Debian's)", err == nil)
	rrdtool := testenv.Program(t, "rrdtool")
	w := newTwin(t, account)
	config := w.configureNodes(t)
	for name, script := range clockPlugins {
		testenv.WriteFile(t, filepath.Join(w.dir, "plugins", name), "#!/bin/sh\nnow=$(cat "+w.dir+"/now)\n"+script+"\n", 0o755)
	}
	for _, name := range restful() {
		if err := os.Symlink(filepath.Join(debianLibrary, name), filepath.Join(w.dir, "plugins", name)); err != nil {
			t.Fatal(err)
		}
	}
	w.sampleAnHour(t, config)

	ca := wiretest.NewCA(t, "authority")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	nodeTLS := "tls paranoid\ntls_verify_certificate yes\n" + keys(ca.Issue(t, "node"), ca.File)
	hosts := map[string]string{"theirs": w.startMuninNode(t)}
	for name, lines := range map[string]string{
		"plain": "", "sealed": nodeTLS, "spool": "spool yes\nspooldir spool\n", "sealedspool": "spool yes\nspooldir spool2\n" + nodeTLS,
	} {
		path := filepath.Join(w.dir, name+".conf")
		testenv.WriteFile(t, path, string(text)+lines, 0o600)
		hosts[name] = startNode(t, "corbie-node", "--config", path).addr
	}
	masterTLS := "tls paranoid\ntls_verify_certificate yes\n" + keys(ca.Issue(t, "master"), ca.File)
	w.pollAnHour(t, hosts, masterTLS)
	w.compareAll(t, rrdtool)
}

func newTwin(t *testing.T, account *user.User) *twin {
	t.Helper()
	const polls = 13
	dir := testenv.PublicDir(t)
	began := time.Now().Truncate(5 * time.Minute).Add(-(polls + 1) * 5 * time.Minute)
	w := &twin{services: &services{dir: dir, ports: make(map[string]string)}, began: began, polls: polls, account: account}
	w.masters = w.folder(t, "master", "munin")
	for _, name := range []string{"db", "html", "log", "run", "conf.d"} {
		w.folder(t, "master/"+name, "munin")
	}
	return w
}

// at is the time of a poll.
func (w *twin) at(poll int) time.Time { return w.began.Add(time.Duration(poll) * 5 * time.Minute) }

// setNow tells the plugins what time it is.
func (w *twin) setNow(t *testing.T, now time.Time) {
	t.Helper()
	testenv.WriteFile(t, filepath.Join(w.dir, "now"), strconv.FormatInt(now.Unix(), 10)+"\n", 0o644)
}

// sampleAnHour lets a node sample into its spool for the hour, and makes a copy of that.
func (w *twin) sampleAnHour(t *testing.T, config string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "hour.conf")
	testenv.WriteFile(t, path, string(text)+"spool yes\nspooldir spool\n", 0o600)
	synctest.Test(t, func(t *testing.T) {
		// A plugin that wants whole minutes gets them once it has said so: it is asked for the first time before.
		<-time.After(time.Until(w.at(-1).Add(-150 * time.Second)))
		cfg, err := node.LoadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		options := node.Options{Spool: node.OpenSpool(cfg, log), Log: log}
		if options.Spool == nil {
			t.Fatal("there is no spool")
		}
		catalogue, err := node.NewCatalogue(t.Context(), cfg, options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		w.setNow(t, w.at(-1))
		go func() { ended <- node.NewServer(cfg, catalogue, options).Run(ctx, nil) }()
		for poll := -1; poll < w.polls; poll++ {
			<-time.After(time.Until(w.at(poll).Add(150 * time.Second)))
			w.setNow(t, w.at(poll+1))
		}
		stop()
		if err := errors.Join(<-ended, options.Spool.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(filepath.Join(w.dir, "spool2"), os.DirFS(filepath.Join(w.dir, "spool"))); err != nil {
		t.Fatal(err)
	}
}

// pollAnHour is the master's hour. Spools are fetched at its end.
func (w *twin) pollAnHour(t *testing.T, hosts map[string]string, masterTLS string) {
	t.Helper()
	var folders, plain, spools strings.Builder
	fmt.Fprintf(&folders, "dbdir %[1]s/db\nhtmldir %[1]s/html\nlogdir %[1]s/log\nrundir %[1]s/run\nincludedir %[1]s/conf.d\n", w.masters)
	for name, addr := range hosts {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		section := fmt.Sprintf("[test;%s]\naddress 127.0.0.1\nport %s\nuse_node_name yes\n", name, port)
		if strings.HasPrefix(name, "sealed") {
			section += masterTLS
		}
		spools.WriteString(section)
		if !strings.HasSuffix(name, "spool") {
			plain.WriteString(section)
		}
	}
	config := filepath.Join(w.masters, "munin.conf")
	// The very first run of a Munin complains of the files that it is about to create.
	testenv.WriteFile(t, config, folders.String(), 0o644)
	w.update(t, config, w.began.Add(-time.Minute))
	testenv.WriteFile(t, config, folders.String()+plain.String(), 0o644)
	for poll := range w.polls {
		if poll == w.polls-1 {
			testenv.WriteFile(t, config, folders.String()+spools.String(), 0o644)
		}
		w.setNow(t, w.at(poll))
		w.update(t, config, w.at(poll))
	}
	log, err := os.ReadFile(filepath.Join(w.masters, "log/munin-update.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`(?m)^.*\[(.*WARNING|WARN|ERROR|FATAL)\].*$`).FindAllString(string(log), -1); len(bad) > 0 {
		t.Errorf("munin-update complains:\n%s", strings.Join(bad, "\n"))
	}
}

// update runs munin-update at a time that does not pass.
func (w *twin) update(t *testing.T, config string, now time.Time) {
	t.Helper()
	testenv.WriteFile(t, filepath.Join(w.dir, "perl/Frozen.pm"), frozenPerl, 0o644)
	uid, uidErr := strconv.ParseUint(w.account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(w.account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), muninUpdate, "--config", config)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + w.masters, "USER=munin", "LOGNAME=munin", "LC_ALL=C",
		"PERL5OPT=-I" + w.dir + "/perl -MFrozen", "FROZEN=" + strconv.FormatInt(now.Unix(), 10),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("munin-update: %v\n%s", err, out)
	}
}

// compareAll compares the files of every host with those of the one that is Debian's node.
func (w *twin) compareAll(t *testing.T, rrdtool string) {
	t.Helper()
	db := filepath.Join(w.masters, "db/test")
	theirs, err := filepath.Glob(filepath.Join(db, "theirs-*.rrd"))
	if err != nil || len(theirs) < 16 {
		t.Fatalf("munin-node has only the files %q, %v", theirs, err)
	}
	equal, near := 0, 0
	for _, host := range []string{"plain", "sealed", "spool", "sealedspool"} {
		ours, err := filepath.Glob(filepath.Join(db, host+"-*.rrd"))
		if err != nil || len(ours) != len(theirs) {
			t.Errorf("%s has %d files, munin-node %d, %v", host, len(ours), len(theirs), err)
		}
		for _, path := range theirs {
			name := strings.TrimPrefix(filepath.Base(path), "theirs-")
			for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
				want, got := w.fetch(t, rrdtool, path, function), w.fetch(t, rrdtool, filepath.Join(db, host+"-"+name), function)
				if slices.Contains(restful(), strings.SplitN(name, "-", 2)[0]) {
					near += compareLoosely(t, host+" "+name+" "+function, got, want)
					continue
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s %s %s: got\n%s\nwant\n%s", host, name, function, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				equal += len(want)
			}
		}
	}
	t.Logf("%d files of munin-node, %d rows equal in those of our nodes, and %d of values that move", len(theirs), equal, near)
}

// fetch is what rrdtool says of the hour, a line for each five minutes.
func (w *twin) fetch(t *testing.T, rrdtool, path, function string) []string {
	t.Helper()
	begin, end := w.began, w.at(w.polls-1)
	out, err := exec.CommandContext(t.Context(), rrdtool, "fetch", path, function, "-r", "300",
		"-s", strconv.FormatInt(begin.Unix(), 10), "-e", strconv.FormatInt(end.Unix()-1, 10)).CombinedOutput()
	if err != nil {
		t.Errorf("rrdtool fetch %s: %s", path, out)
		return nil
	}
	var rows []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ": ") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}

// compareLoosely wants values that are nearly the same, and most of them there. It returns how many it compared.
func compareLoosely(t *testing.T, what string, got, want []string) (compared int) {
	t.Helper()
	value := func(row string) float64 {
		_, text, _ := strings.Cut(row, ": ")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	for i := range min(len(got), len(want)) {
		a, b := value(got[i]), value(want[i])
		if math.IsNaN(a) || math.IsNaN(b) {
			continue
		}
		compared++
		if math.Abs(a-b) > 0.05*math.Max(math.Abs(a), math.Abs(b))+0.05 {
			t.Errorf("%s: %s, munin-node's %s", what, got[i], want[i])
		}
	}
	if compared < 8 {
		t.Errorf("%s: only %d rows in both", what, compared)
	}
	return compared
}
