"""Where rows come from and go to: plan, reader, writer, receipts, commit, and builders of catalogues."""
