package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func newRuns(a *app) *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "Trained networks in the store: list, show, rm, gc", RunE: subcommands}
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List trained networks, the newest first",
		Args:  none,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			runs, err := l.Runs()
			t := result.Table{Title: "Trained networks in " + l.Store().Dir(), Columns: []result.Axis{
				{Name: "key"}, {Name: "name"}, {Name: "net"}, {Name: "data"}, {Name: "corrupted", Unit: "fraction"},
				{Name: "train accuracy", Unit: "fraction"}, {Name: "test accuracy", Unit: "fraction"}}}
			for _, r := range runs {
				t.Rows = append(t.Rows, []any{r.Key[:12], r.Name, r.Spec.Net, r.Spec.Data, r.Spec.Corrupt.Fraction, r.Final.TrainAccuracy, r.Final.TestAccuracy})
			}
			fmt.Print(t.Text())
			return err
		},
	})
	asJSON := false
	show := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a network: its specification, loss and accuracy",
		Args:  one(storedArgument),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			r, err := l.Find(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			fmt.Print(r.Table().Text())
			fmt.Println("weights:", l.WeightsPath(r.Key))
			return nil
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "as JSON, with the whole specification")
	c.AddCommand(show)
	c.AddCommand(&cobra.Command{
		Use:   "rm RUN",
		Short: "Remove a trained network",
		Args:  one(storedArgument),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			r, err := l.Find(args[0])
			if err != nil {
				return err
			}
			if err := l.Store().Remove(r.Key); err != nil {
				return err
			}
			fmt.Println("removed", r.Key, r.Name)
			return nil
		},
	})
	unfinished := false
	gc := &cobra.Command{
		Use:   "gc",
		Short: "Delete what interrupted processes left behind",
		Long: "Delete temporary files and locks of processes that died. With --unfinished also the saved states of trainings\n" +
			"that were interrupted, which then cannot go on. Finished networks and results are never touched.",
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			bytes, err := l.Store().Sweep(time.Hour)
			if err != nil {
				return err
			}
			fmt.Printf("temporary files: %.1f MB freed\n", float64(bytes)/1e6)
			if !unfinished {
				return nil
			}
			entries, err := l.Store().Runs()
			if err != nil {
				return err
			}
			for _, e := range entries {
				if l.Finished(e.Key) {
					continue
				}
				if err := l.Store().Remove(e.Key); err != nil {
					fmt.Fprintln(os.Stderr, err) // somebody trains it now
					continue
				}
				fmt.Println("removed the unfinished run", e.Key)
			}
			return nil
		},
	}
	gc.Flags().BoolVar(&unfinished, "unfinished", false, "also remove runs whose training did not end")
	c.AddCommand(gc)
	return c
}

func newData(a *app) *cobra.Command {
	c := &cobra.Command{Use: "data", Short: "Data sets: list, fetch, verify", RunE: subcommands}
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the data sets and whether they are on this machine",
		Args:  none,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			t := result.Table{Title: "Data sets", Columns: []result.Axis{{Name: "name"}, {Name: "title"}, {Name: "train", Unit: "images"},
				{Name: "test", Unit: "images"}, {Name: "size", Unit: "MB"}, {Name: "here"}, {Name: "licence"}}}
			for _, e := range datasets.Catalog() {
				t.Rows = append(t.Rows, []any{e.Name, e.Title, e.TrainN, e.TestN, float64(e.Bytes()) / 1e6, dataState(e.Name, l.DataDirs()), e.Licence})
			}
			fmt.Print(t.Text())
			return nil
		},
	})
	c.AddCommand(&cobra.Command{
		Use:   "fetch NAME…",
		Short: "Download data sets, with checksums; goes on where it was interrupted",
		Args:  some(dataArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := l.Fetch(cmd.Context(), name); err != nil {
					return err
				}
			}
			return nil
		},
	})
	c.AddCommand(&cobra.Command{
		Use:   "verify [NAME…]",
		Short: "Compare size and checksum of every file with what was published",
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, e := range datasets.Catalog() {
					if dataState(e.Name, l.DataDirs()) != "missing" {
						args = append(args, e.Name)
					}
				}
			}
			bad := 0
			for _, name := range args {
				states, err := datasets.Verify(name, l.DataDirs()...)
				if err != nil {
					return err
				}
				for _, s := range states {
					line := strings.TrimSpace(fmt.Sprintf("%-14s %s/%s  %s", s.State, name, s.File.Name, s.Note))
					fmt.Println(line)
					if s.State != datasets.OK {
						bad++
					}
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d files are not as published; `directions data fetch NAME` replaces them", bad)
			}
			return nil
		},
	})
	return c
}

// dataState is "yes", "missing" or what is wrong with a data set's files.
func dataState(name string, dirs []string) string {
	states, err := datasets.Verify(name, dirs...)
	if err != nil {
		return err.Error()
	}
	missing := 0
	for _, s := range states {
		switch s.State {
		case datasets.OK:
		case datasets.Missing:
			missing++
		default:
			return fmt.Sprintf("%s: %s", s.File.Name, s.State)
		}
	}
	switch missing {
	case 0:
		return "yes"
	case len(states):
		return "missing"
	}
	return fmt.Sprintf("%d of %d files missing", missing, len(states))
}
