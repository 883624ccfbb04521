package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// services are the programs that Debian's plugins look at, each with a configuration of its own, in one folder
// and on free ports of the loopback interface.
type services struct {
	dir   string
	ports map[string]string
	// settings is plugin-conf.d text that leads the plugins there.
	settings strings.Builder
}

// servicePrograms are what the services need, by the names of their packages.
func servicePrograms() map[string]string {
	return map[string]string{
		"mariadb-server": "mariadbd", "haproxy": "haproxy", "squid": "squid", "lighttpd": "lighttpd",
		"postfix": "postfix", "memcached": "memcached", "nginx": "nginx", "apache2": "apache2", "wget": "wget", "snmpd": "snmpd",
	}
}

// perlModules are what the plugins need besides, by the names of their packages.
func perlModules() map[string]string {
	return map[string]string{
		"libdbd-mysql-perl": "DBD::mysql", "libcache-cache-perl": "Cache::SharedMemoryCache",
		"libcache-memcached-perl": "Cache::Memcached", "libwww-perl": "LWP::UserAgent", "libnet-snmp-perl": "Net::SNMP",
	}
}

// startServices starts them all and waits until they answer.
func startServices(t *testing.T) *services {
	t.Helper()
	dir := testenv.PublicDir(t)
	s := &services{dir: dir, ports: make(map[string]string)}
	begin := time.Now()
	s.mariadb(t)
	s.web(t)
	s.squid(t)
	s.memcached(t)
	s.postfix(t)
	s.ports["snmpd"] = startSNMPAgent(t)
	fmt.Fprintf(&s.settings, "[snmp_*]\nenv.community secret\nenv.port %s\n", s.ports["snmpd"])
	s.settings.WriteString("[multips*]\nenv.names apache2 nginx mariadbd\n[proc]\nenv.procname apache2|nginx\n")
	t.Logf("the services answer after %v", time.Since(begin).Round(time.Millisecond))
	return s
}

// folder makes a folder in which a service may write.
func (s *services) folder(t *testing.T, name, owner string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	account, err := user.Lookup(owner)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	if err := errors.Join(uidErr, gidErr, os.Mkdir(path, 0o755), os.Chown(path, uid, gid)); err != nil {
		t.Fatal(err)
	}
	return path
}

// port finds a free port and keeps it under a name.
func (s *services) port(t *testing.T, name string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, s.ports[name], _ = net.SplitHostPort(listener.Addr().String())
	return s.ports[name]
}

// start runs a service in the foreground until the test ends, and waits until the address takes connections.
func (s *services) start(t *testing.T, network, address string, words ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &said, &said
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var endErr error
	ended := make(chan struct{})
	go func() {
		endErr = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // It may have ended by itself.
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // Its children may be left.
	})
	limit := time.After(testenv.Patience)
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
		if err == nil {
			_ = conn.Close() // It listens: that is all.
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %v\n%s", words[0], endErr, said.String())
		case <-limit:
			t.Fatalf("%s does not listen: %v", words[0], err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run runs a program that ends by itself. What it prints goes to a file, as what it starts may keep a pipe open.
func (s *services) run(t *testing.T, words ...string) {
	t.Helper()
	out, err := os.CreateTemp(s.dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Errorf("%q: %v\n%s", words, err, said)
	}
}

func (s *services) mariadb(t *testing.T) {
	t.Helper()
	dir := s.folder(t, "mariadb", "mysql")
	socket := dir + "/socket"
	small := "--innodb-log-file-size=4M"
	s.run(t, "mariadb-install-db", "--no-defaults", "--datadir="+dir, "--user=mysql", "--auth-root-authentication-method=normal", small)
	s.start(t, "unix", socket, "/usr/sbin/mariadbd", "--no-defaults", "--datadir="+dir, "--user=mysql", "--socket="+socket,
		"--skip-networking", "--pid-file="+dir+"/pid", "--innodb-buffer-pool-size=16M", "--log-bin="+dir+"/bin", small)
	s.run(t, "mysql", "--no-defaults", "--socket="+socket, "-e", "create database shop; create table shop.things (n int) engine=innodb; "+
		"create table shop.old (n int) engine=myisam; insert into shop.things values (1), (2)")
	fmt.Fprintf(&s.settings, "[mysql*]\nuser root\nenv.mysqlopts --no-defaults --socket=%[1]s\nenv.mysqluser root\n"+
		"env.mysqlconnection DBI:mysql:mysql;mysql_socket=%[1]s\n", socket)
}

// web is apache2, nginx, lighttpd, and haproxy before them.
func (s *services) web(t *testing.T) {
	t.Helper()
	apache := s.folder(t, "apache", "www-data")
	port := s.port(t, "apache")
	modules := "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n"
	var config strings.Builder
	for _, module := range []string{"mpm_event", "authz_core", "status"} {
		fmt.Fprintf(&config, modules, module)
	}
	fmt.Fprintf(&config, "ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile pid\nErrorLog error.log\nListen 127.0.0.1:%[2]s\nServerName localhost\n"+
		"User www-data\nGroup www-data\nExtendedStatus On\n<Location /server-status>\nSetHandler server-status\n</Location>\n", apache, port)
	testenv.WriteFile(t, apache+"/conf", config.String(), 0o644)
	s.start(t, "tcp", "127.0.0.1:"+port, "apache2", "-f", apache+"/conf", "-DFOREGROUND")
	fmt.Fprintf(&s.settings, "[apache_*]\nenv.ports %s\n", port)

	nginx := s.folder(t, "nginx", "www-data")
	port = s.port(t, "nginx")
	testenv.WriteFile(t, nginx+"/conf", fmt.Sprintf("user www-data;\ndaemon off;\npid %[1]s/pid;\nerror_log %[1]s/error.log;\nevents {}\nhttp {\naccess_log off;\n"+
		"server {\nlisten 127.0.0.1:%[2]s;\nlocation /nginx_status { stub_status; }\n}\n}\n", nginx, port), 0o644)
	s.start(t, "tcp", "127.0.0.1:"+port, "nginx", "-e", nginx+"/error.log", "-p", nginx, "-c", nginx+"/conf")
	fmt.Fprintf(&s.settings, "[nginx_*]\nenv.url http://127.0.0.1:%s/nginx_status\n", port)

	lighttpd := s.folder(t, "lighttpd", "www-data")
	port = s.port(t, "lighttpd")
	testenv.WriteFile(t, lighttpd+"/index.html", "<p>Good day.</p>\n", 0o644)
	testenv.WriteFile(t, lighttpd+"/conf", fmt.Sprintf("server.document-root = \"%[1]s\"\nserver.port = %[2]s\nserver.bind = \"127.0.0.1\"\n"+
		"index-file.names = (\"index.html\")\nserver.errorlog = \"%[1]s/error.log\"\n", lighttpd, port), 0o644)
	s.start(t, "tcp", "127.0.0.1:"+port, "lighttpd", "-D", "-f", lighttpd+"/conf")
	fmt.Fprintf(&s.settings, "[http_loadtime]\nenv.target http://127.0.0.1:%s/index.html\n", port)

	haproxy := s.folder(t, "haproxy", "haproxy")
	port = s.port(t, "haproxy")
	testenv.WriteFile(t, haproxy+"/conf", fmt.Sprintf("global\nmaxconn 50\ndefaults\nmode http\ntimeout client 5s\ntimeout server 5s\ntimeout connect 5s\n"+
		"frontend front\nbind 127.0.0.1:%s\nstats enable\nstats uri /haproxy-status\ndefault_backend back\n"+
		"backend back\nserver one 127.0.0.1:%s check\nserver two 127.0.0.1:%s check\n", port, s.ports["lighttpd"], s.ports["nginx"]), 0o644)
	s.start(t, "tcp", "127.0.0.1:"+port, "haproxy", "-db", "-f", haproxy+"/conf")
	fmt.Fprintf(&s.settings, "[haproxy_*]\nenv.url http://127.0.0.1:%s/haproxy-status;csv;norefresh\n", port)
}

func (s *services) squid(t *testing.T) {
	t.Helper()
	dir := s.folder(t, "squid", "proxy")
	port := s.port(t, "squid")
	testenv.WriteFile(t, dir+"/conf", fmt.Sprintf("http_port 127.0.0.1:%[2]s\nvisible_hostname localhost\ncache_effective_user proxy\npid_filename %[1]s/pid\n"+
		"cache_log %[1]s/cache.log\naccess_log none\ncoredump_dir %[1]s\npinger_enable off\ncache_peer 127.0.0.1 parent %[3]s 0 no-query\n"+
		"http_access allow localhost\nshutdown_lifetime 0 seconds\nnetdb_filename none\n", dir, port, s.ports["lighttpd"]), 0o644)
	s.start(t, "tcp", "127.0.0.1:"+port, "squid", "-N", "-n", "corbie"+strconv.Itoa(os.Getpid()), "-f", dir+"/conf")
	fmt.Fprintf(&s.settings, "[squid_*]\nenv.squidhost 127.0.0.1\nenv.squidport %s\n", port)
}

func (s *services) memcached(t *testing.T) {
	t.Helper()
	port := s.port(t, "memcached")
	s.start(t, "tcp", "127.0.0.1:"+port, "memcached", "-u", "memcache", "-l", "127.0.0.1", "-p", port, "-U", "0")
	fmt.Fprintf(&s.settings, "[memcached_*]\nenv.port %s\n", port)
}

const (
	postfixMain = "compatibility_level = 3.6\nqueue_directory = %[1]s/queue\ndata_directory = %[1]s/lib\nmaillog_file = %[1]s/log/mail.log\n" +
		"maillog_file_prefixes = %[1]s\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example.com\nmydestination =\n" +
		"alias_maps =\nmynetworks = 127.0.0.0/8\nsmtpd_recipient_restrictions = permit_mynetworks, reject\ndefault_transport = discard\n"
	postfixMaster = "%s inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n" +
		"bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nproxymap unix - - n - - proxymap\n" +
		"discard unix - - n - - discard\nerror unix - - n - - error\nretry unix - - n - - error\nanvil unix - - n - 1 anvil\n" +
		"postlog unix-dgram n - n - 1 postlogd\n"
)

func (s *services) postfix(t *testing.T) {
	t.Helper()
	dir, port := s.folder(t, "postfix", "root"), s.port(t, "postfix")
	s.folder(t, "postfix/lib", "postfix")
	for _, name := range []string{"etc", "queue", "log"} {
		s.folder(t, "postfix/"+name, "root")
	}
	testenv.WriteFile(t, dir+"/log/mail.log", "", 0o644)
	testenv.WriteFile(t, dir+"/etc/main.cf", fmt.Sprintf(postfixMain, dir), 0o644)
	testenv.WriteFile(t, dir+"/etc/master.cf", fmt.Sprintf(postfixMaster, "127.0.0.1:"+port), 0o644)
	s.run(t, "/usr/sbin/postfix", "-c", dir+"/etc", "start")
	t.Cleanup(func() { s.run(t, "/usr/sbin/postfix", "-c", dir+"/etc", "abort") })
	send := func() error {
		return smtp.SendMail("127.0.0.1:"+port, nil, "a@example.com", []string{"b@example.com"}, []byte("Subject: hello\r\n\r\nGood day.\r\n"))
	}
	testenv.Eventually(t, "postfix takes a mail", func() bool { return send() == nil })
	fmt.Fprintf(&s.settings, "[postfix_mail*]\nenv.logdir %[1]s/log\nenv.logfile mail.log\nenv.spooldir %[1]s/queue\n", dir)
}
