package heddle

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

const (
	folderVariable  = "HEDDLE_PLUGIN_FOLDER"
	readyLine       = "heddle-plugin 1\n"
	endWait         = 2 * time.Second
	messageBytesMax = 16 << 20
)

// Serve runs the plugin: it answers the engine that started the process until that ends, and then ends the
// process. Where no engine started it, it prints what the plugin offers. It does not return.
func Serve(plugin Plugin) {
	registry, err := compile(plugin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	folder := os.Getenv(folderVariable)
	if folder == "" {
		describe(os.Stdout, registry)
		os.Exit(0)
	}
	if err := serve(registry, folder); err != nil {
		fmt.Fprintf(os.Stderr, "the plugin `%s` cannot be served: %s\n", plugin.Namespace, err)
		os.Exit(1)
	}
	select {}
}

// serve starts to answer on the sockets of the folder; the process ends with the engine.
func serve(registry *registry, folder string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE)
	controlSocket, err := net.Listen("unix", filepath.Join(folder, "control.sock"))
	if err != nil {
		return err
	}
	lanes, err := net.Listen("unix", filepath.Join(folder, "lanes.sock"))
	if err != nil {
		return err
	}
	host := newHost(registry)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(messageBytesMax), grpc.MaxSendMsgSize(messageBytesMax))
	wire.RegisterPluginControlServer(server, &control{host: host})
	go func() { _ = server.Serve(controlSocket) }()
	go acceptLanes(host, lanes)
	go endWithEngine(host, folder)
	_, err = os.Stdout.WriteString(readyLine)
	return err
}

func acceptLanes(host *host, lanes net.Listener) {
	for {
		conn, err := lanes.Accept()
		if err != nil {
			return
		}
		go serveLane(host, conn)
	}
}

// endWithEngine ends the process when the engine closes stdin or asks for it with SIGTERM.
func endWithEngine(host *host, folder string) {
	ending := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(ending) }) }
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() {
		<-terminate
		end()
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	<-ending
	time.AfterFunc(endWait, func() {
		_ = os.RemoveAll(folder)
		os.Exit(0)
	})
	for _, problem := range host.shutDown() {
		fmt.Fprintln(os.Stderr, problem)
	}
	_ = os.RemoveAll(folder)
	os.Exit(0)
}
