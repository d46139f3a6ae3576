package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/control"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "show the running director's services, connections and templates",
		UsageText: `xlvs list                     services and real servers, as ipvsadm -Ln
xlvs list --stats             counts since the start
xlvs list --rate              counts a second
xlvs list --connections       every connection entry, as ipvsadm -Lnc
xlvs list --persistence       every persistence template: which client is kept on which server
xlvs list --status            sockets and their modes, tables, and why frames were dropped
xlvs list --persistence --json | jq 'select(.fwmark == 80)'`,
		Description: "Direct routing does not see what servers answer: outgoing counts are always 0.\n" +
			"With --json, --connections and --persistence print one object a line.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "connections", Usage: "list connection entries"},
			&cli.BoolFlag{Name: "persistence", Usage: "list persistence templates"},
			&cli.BoolFlag{Name: "stats", Usage: "show counts since the start"},
			&cli.BoolFlag{Name: "rate", Usage: "show counts a second"},
			&cli.BoolFlag{Name: "status", Usage: "show sockets, tables and drop reasons"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			socketFlag(),
		},
		Before: noArguments,
		Action: list,
	}
}

func list(c *cli.Context) error {
	what, err := oneOf(c, "connections", "persistence", "stats", "rate", "status")
	if err != nil {
		return err
	}
	client := control.NewClient(c.String("socket"))
	p := &printer{w: c.App.Writer, json: c.Bool("json")}
	switch what {
	case "connections":
		err = p.connections(c.Context, client)
	case "persistence":
		err = p.templates(c.Context, client)
	case "status":
		err = p.status(c.Context, client)
	default:
		err = p.services(c.Context, client, what)
	}
	if err != nil {
		return err
	}
	return p.err
}

// oneOf returns which of the flags is given, "" for none.
func oneOf(c *cli.Context, flags ...string) (string, error) {
	given := ""
	for _, name := range flags {
		if !c.Bool(name) {
			continue
		}
		if given != "" {
			return "", usage{fmt.Errorf("--%s and --%s do not go together", given, name)}
		}
		given = name
	}
	return given, nil
}

func (p *printer) services(ctx context.Context, client *control.Client, what string) error {
	listing, err := client.Services(ctx)
	if err != nil {
		return err
	}
	if p.json {
		return p.object(listing)
	}
	p.printf("IP Virtual Server version xlvs %s (size=%d)\n", listing.Version, listing.Capacity)
	switch what {
	case "stats":
		p.printf("Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n")
		p.printf("  -> RemoteAddress:Port\n")
	case "rate":
		p.printf("Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n")
		p.printf("  -> RemoteAddress:Port\n")
	default:
		p.printf("Prot LocalAddress:Port Scheduler Flags\n")
		p.printf("  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n")
	}
	for i := range listing.Services {
		p.service(&listing.Services[i], what)
	}
	return nil
}

func (p *printer) connections(ctx context.Context, client *control.Client) error {
	if !p.json {
		p.printf("IPVS connection entries\n")
		p.printf("pro expire state       source             virtual            destination\n")
	}
	return client.Connections(ctx, func(conn *control.Connection) error {
		if p.json {
			return p.object(conn)
		}
		p.printf("%-3s %-6s %-11s %-18s %-18s %s\n", conn.Protocol, clock(conn.Expires), conn.State,
			conn.Source, conn.Virtual, conn.Destination)
		return p.err
	})
}

func (p *printer) templates(ctx context.Context, client *control.Client) error {
	if !p.json {
		p.printf("Persistence templates\n")
		p.printf("pro  expire conns client             virtual            destination\n")
	}
	return client.Templates(ctx, func(t *control.Template) error {
		if p.json {
			return p.object(t)
		}
		protocol, virtual := t.Protocol, t.Virtual.String()
		if t.Mark != 0 {
			protocol, virtual = "FWM", fmt.Sprint(t.Mark)
		}
		p.printf("%-4s %-6s %5d %-18s %-18s %s\n", protocol, clock(t.Expires), t.Connections, t.Client, virtual, t.Destination)
		return p.err
	})
}

// object prints one JSON object on a line of its own.
func (p *printer) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err = p.w.Write(append(b, '\n'))
	return errors.Join(p.err, err)
}
