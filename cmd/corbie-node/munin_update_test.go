package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"corbie/internal/testenv"
	"corbie/munin"
)

const muninUpdate = "/usr/share/munin/munin-update"

// TestMuninUpdatePollsEveryNativePluginWithoutComplaint is Debian's Munin master against our node: an RRD for
// every field of every native plugin, and nothing in its log.
func TestMuninUpdatePollsEveryNativePluginWithoutComplaint(t *testing.T) {
	_, err := os.Stat(muninUpdate)
	testenv.Need(t, "munin-update (Debian's munin)", err == nil)
	rrdtool := testenv.Program(t, "rrdtool")
	account, err := user.Lookup("munin")
	testenv.Need(t, "the user munin", err == nil)
	testenv.Need(t, "root, to become munin", os.Getuid() == 0)

	empty := t.TempDir()
	d := startNode(t, "corbie-node", "--servicedir", empty, "--sconfdir", empty)
	dir := runMuninUpdate(t, d.addr, account)
	log, err := os.ReadFile(filepath.Join(dir, "log/munin-update.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`(?m)^.*\[(.*WARNING|ERROR|FATAL)\].*$`).FindAllString(string(log), -1); len(bad) > 0 {
		t.Errorf("munin-update complains:\n%s", strings.Join(bad, "\n"))
	}
	if !bytes.Contains(log, []byte("Munin-update finished")) {
		t.Errorf("munin-update did not finish:\n%s", log)
	}
	plugins, fields := 0, 0
	for _, name := range strings.Fields(strings.Split(ask(t, d.addr, "cap multigraph\nlist"), "\n")[2]) {
		plugins++
		_, config, _ := strings.Cut(ask(t, d.addr, "config "+name), "\n")
		reply := munin.ParseConfig(name, []byte(strings.TrimSuffix(config, ".\n")))
		if len(reply.Graphs) == 0 {
			t.Errorf("%s has no graphs", name)
		}
		for i := range reply.Graphs {
			for j := range reply.Graphs[i].Fields {
				fields++
				checkRRD(t, rrdtool, dir, &reply.Graphs[i], &reply.Graphs[i].Fields[j])
			}
		}
	}
	if plugins < 15 || fields < 50 {
		t.Errorf("only %d plugins with %d fields were looked at", plugins, fields)
	}
	t.Logf("%d plugins, %d fields", plugins, fields)
	d.Stop(t)
}

// runMuninUpdate polls the node once as a cron job would and returns the folder with what came of it.
func runMuninUpdate(t *testing.T, addr string, account *user.User) string {
	t.Helper()
	dir, update := muninMaster(t, addr, account)
	update()
	return dir
}

// muninMaster is a Munin that polls the node at each call of the function, and the folder in which it works.
func muninMaster(t *testing.T, addr string, account *user.User) (folder string, poll func()) {
	t.Helper()
	dir := testenv.PublicDir(t)
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	err := errors.Join(uidErr, gidErr, os.Chown(dir, uid, gid))
	for _, name := range []string{"db", "html", "log", "run", "conf.d"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o755), os.Chown(filepath.Join(dir, name), uid, gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "munin.conf")
	folders := fmt.Sprintf("dbdir %[1]s/db\nhtmldir %[1]s/html\nlogdir %[1]s/log\nrundir %[1]s/run\nincludedir %[1]s/conf.d\n", dir)
	update := func() {
		cmd := exec.CommandContext(t.Context(), muninUpdate, "--config", config)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "USER=munin", "LOGNAME=munin", "LC_ALL=C"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("munin-update: %v\n%s", err, out)
		}
	}
	// The very first run of a Munin complains that it cannot tune the files it is about to create, whatever
	// the node. Ours comes as a new host to a Munin that has run before.
	testenv.WriteFile(t, config, folders, 0o644)
	update()
	testenv.WriteFile(t, config, folders+"[test;node1.example.com]\naddress 127.0.0.1\nport "+port+"\nuse_node_name yes\n", 0o644)
	return dir, update
}

// checkRRD wants one file for a field, of its type and with a value in it.
func checkRRD(t *testing.T, rrdtool, dir string, g *munin.Graph, f *munin.Field) {
	t.Helper()
	letter := map[munin.FieldType]string{munin.Gauge: "g", munin.Counter: "c", munin.Derive: "d", munin.Absolute: "a"}[f.Type]
	path := filepath.Join(dir, "db/test/node1.example.com-"+strings.ReplaceAll(g.Name, ".", "-")+"-"+f.Name+"-"+letter+".rrd")
	info, err := exec.CommandContext(t.Context(), rrdtool, "info", path).CombinedOutput()
	if err != nil {
		t.Errorf("%s.%s: %s", g.Name, f.Name, info)
		return
	}
	if !strings.Contains(string(info), `ds[42].type = "`+f.Type.String()+`"`) {
		t.Errorf("%s.%s: the type is not %v:\n%.600s", g.Name, f.Name, f.Type, info)
	}
	last := regexp.MustCompile(`ds\[42\]\.last_ds = "([^"]*)"`).FindSubmatch(info)
	if last == nil {
		t.Errorf("%s.%s: no value in %s", g.Name, f.Name, path)
		return
	}
	// Rates of disks are those since the master's last visit: the first one gets none.
	if value := string(last[1]); value == "" || value == "U" && !strings.HasPrefix(g.Name, "diskstats_") {
		t.Errorf("%s.%s: the value is %q", g.Name, f.Name, value)
	}
}
