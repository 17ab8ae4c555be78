//! The attributes of one slice: those of its spans, of its events, or of its links.
//!
//! In: attribute tables of chunks, and the row of the slice that each of their rows goes to. Out:
//! columns as the layout says. Columns go to columns without a look at rows; only rows that have
//! something in the overflow, or an order of their own, are looked at one by one.
//!
//! **Order.** A reader lines up a row's attributes by rank; of equal rank first the column's value,
//! then the overflow's in the order they have there. A row whose attributes came in another order
//! has a value in `attribute_order`: for each attribute received, as a varint, its place in that
//! line.

use suyuan_model::{AttributeColumn, AttributeTable, ValueRef, Values};

use super::StageError;
use super::values::{ColumnStage, NONE, Scratch};
use crate::column::{Column, Kind};
use crate::key_values;
use crate::layout::{
    TableLayout, attribute_column_name, buckets_of, overflow_bucket, overflow_column_name,
};

#[derive(Debug)]
pub(super) struct AttributeStage {
    layout: TableLayout,
    columns: Vec<NamedStage>,
    /// By bucket; in a list the first one is the list.
    overflow: Vec<Option<NamedStage>>,
    order: NamedStage,
    /// For each rank the index in `columns`, or [`NONE`].
    column_of_rank: Vec<u32>,
}

#[derive(Debug)]
struct NamedStage {
    name: String,
    stage: ColumnStage,
}

/// Where a column of a chunk goes.
#[derive(Clone, Copy, Debug)]
struct Target {
    rank: u32,
    /// Index in [`AttributeStage::columns`], or [`NONE`].
    column: u32,
    bucket: u8,
}

/// What is to be done for the rows of a shape beyond their columns.
#[derive(Debug, Default)]
struct ShapePlan {
    /// For each attribute of the shape the bucket it goes to, or [`IN_COLUMN`]; empty if all have
    /// columns.
    buckets: Vec<u8>,
    used_buckets: u64,
    /// Its number in the column of orders, or [`NONE`].
    order: u32,
}

const IN_COLUMN: u8 = u8::MAX;

impl AttributeStage {
    pub(super) fn new(layout: &TableLayout) -> Self {
        let n_buckets = layout.overflow_columns.count() as usize;
        let mut column_of_rank = vec![NONE; layout.entries.len() + n_buckets];
        let mut columns = Vec::new();
        for rank in &layout.columns {
            let entry = &layout.entries[*rank as usize];
            column_of_rank[*rank as usize] = columns.len() as u32;
            let name = attribute_column_name(&entry.key, entry.value_type);
            columns.push(NamedStage::new(name, crate::layout::kind_of(entry.value_type).0));
        }
        let overflow = (0..n_buckets).map(|bucket| {
            let has_column = !layout.is_list && layout.overflow_buckets & 1 << bucket != 0;
            has_column.then(|| NamedStage::new(overflow_column_name(bucket), Kind::Bytes))
        });
        let mut overflow: Vec<Option<NamedStage>> = overflow.collect();
        if layout.is_list {
            overflow[0] = Some(NamedStage::new("attributes".to_owned(), Kind::Bytes));
        }
        let order = NamedStage::new("attribute_order".to_owned(), Kind::Bytes);
        Self { layout: layout.clone(), columns, overflow, order, column_of_rank }
    }

    pub(super) fn clear(&mut self) {
        let columns = self.columns.iter_mut().chain(self.overflow.iter_mut().flatten());
        columns.chain([&mut self.order]).for_each(|column| column.stage.clear());
    }

    /// `rows`: for each row of the table its row in the slice, or [`NONE`].
    pub(super) fn add(
        &mut self,
        table: &AttributeTable,
        rows: &[u32],
        scratch: &mut Scratch,
    ) -> Result<(), StageError> {
        if table.columns.is_empty() {
            return Ok(());
        }
        let targets: Vec<Target> = table.columns.iter().map(|c| self.target(c)).collect();
        for (column, target) in table.columns.iter().zip(&targets) {
            if let Some(NamedStage { stage, .. }) = self.columns.get_mut(target.column as usize) {
                add_column(stage, column, rows, scratch);
            }
        }
        let plans = self.plan_shapes(table, rows, &targets);
        if plans.iter().flatten().next().is_none() {
            return Ok(());
        }
        self.add_rows(table, rows, &plans)
    }

    /// All columns, in the order of the file.
    pub(super) fn finish(
        &mut self,
        n_rows: u32,
        scratch: &mut Scratch,
        columns: &mut Vec<Column>,
    ) -> Result<(), StageError> {
        let order = (!self.layout.is_list).then_some(&mut self.order);
        let stages = self.columns.iter_mut().chain(self.overflow.iter_mut().flatten());
        for NamedStage { name, stage } in stages.chain(order) {
            columns.push(stage.finish(name, n_rows, scratch)?);
        }
        Ok(())
    }

    /// Gives every row another number: the one that stands at its place.
    pub(super) fn renumber_rows(&mut self, new_rows: &[u32]) {
        let columns = self.columns.iter_mut().chain(self.overflow.iter_mut().flatten());
        for column in columns.chain([&mut self.order]) {
            column.stage.renumber_rows(new_rows);
        }
    }

    fn target(&self, column: &AttributeColumn) -> Target {
        if self.layout.is_list {
            return Target { rank: 0, column: NONE, bucket: 0 };
        }
        let rank = self.layout.rank(&column.key, column.value_type);
        let bucket = overflow_bucket(&column.key, self.layout.overflow_columns) as u8;
        Target { rank, column: self.column_of_rank[rank as usize], bucket }
    }

    /// For each shape what its rows need, if they need anything.
    fn plan_shapes(
        &mut self,
        table: &AttributeTable,
        rows: &[u32],
        targets: &[Target],
    ) -> Vec<Option<ShapePlan>> {
        let n_shapes = table.shape_ends.len() - 1;
        let mut is_used = vec![false; n_shapes];
        for (shape, row) in table.shape_of_row.values().iter().zip(rows) {
            is_used[*shape as usize] |= *row != NONE;
        }
        let mut seen_in = vec![NONE; targets.len()];
        let plan = |shape: u32| {
            let columns = table.shape_columns_of(shape);
            is_used[shape as usize]
                .then(|| self.plan_shape(shape, columns, targets, &mut seen_in))?
        };
        (0..n_shapes as u32).map(plan).collect()
    }

    /// `seen_in`: for each column of the table the last shape in which it was seen.
    fn plan_shape(
        &mut self,
        shape: u32,
        columns: &[u32],
        targets: &[Target],
        seen_in: &mut [u32],
    ) -> Option<ShapePlan> {
        let mut used_buckets = 0u64;
        let mut is_in_order = true;
        let mut previous_rank = 0;
        let mut bucket_of = |column: u32| {
            let target = targets[column as usize];
            is_in_order &= previous_rank <= target.rank;
            previous_rank = target.rank;
            let is_first = seen_in[column as usize] != shape;
            seen_in[column as usize] = shape;
            if target.column != NONE && is_first {
                return IN_COLUMN;
            }
            used_buckets |= 1 << target.bucket;
            target.bucket
        };
        let buckets: Vec<u8> = columns.iter().map(|column| bucket_of(*column)).collect();
        if is_in_order && used_buckets == 0 {
            return None;
        }
        let order = match is_in_order {
            true => NONE,
            false => self.order.stage.value_of_many(&order_of(columns, targets)),
        };
        Some(ShapePlan { buckets, used_buckets, order })
    }

    fn add_rows(
        &mut self,
        table: &AttributeTable,
        rows: &[u32],
        plans: &[Option<ShapePlan>],
    ) -> Result<(), StageError> {
        let mut positions = Positions::new(table);
        let mut found = Vec::new();
        for (row, slice_row) in rows.iter().enumerate() {
            let shape = table.shape_of_row.value(row);
            let Some(plan) = plans[shape as usize].as_ref().filter(|_| *slice_row != NONE) else {
                continue;
            };
            if plan.order != NONE {
                self.order.stage.add_number(*slice_row, plan.order);
            }
            if plan.used_buckets == 0 {
                continue;
            }
            let columns = table.shape_columns_of(shape);
            positions.find(row as u32, columns, &mut found);
            for bucket in buckets_of(plan.used_buckets) {
                let Some(NamedStage { stage, .. }) = &mut self.overflow[bucket] else {
                    return Err(StageError::NotCounted);
                };
                stage.write_bytes(*slice_row, |list| {
                    for (place, column) in columns.iter().enumerate() {
                        if plan.buckets[place] == bucket as u8 {
                            let (key, value) = at(table, *column, found[place]);
                            key_values::append(list, key, value);
                        }
                    }
                });
            }
        }
        Ok(())
    }
}

impl NamedStage {
    fn new(name: String, kind: Kind) -> Self {
        Self { name, stage: ColumnStage::new(kind) }
    }
}

/// For each attribute its place in the line of ranks.
fn order_of(columns: &[u32], targets: &[Target]) -> Vec<u8> {
    let mut line: Vec<u32> = (0..columns.len() as u32).collect();
    // Stable: of equal rank, what came first stands first.
    line.sort_by_key(|place| targets[columns[*place as usize] as usize].rank);
    let mut place_in_line = vec![0; columns.len()];
    for (n, place) in line.iter().enumerate() {
        place_in_line[*place as usize] = n as u64;
    }
    let mut order = Vec::with_capacity(columns.len());
    for place in place_in_line {
        key_values::varint(&mut order, place);
    }
    order
}

/// Adds what a chunk has of one key and type; of a row that has it twice, the first value.
fn add_column(
    stage: &mut ColumnStage,
    column: &AttributeColumn,
    rows: &[u32],
    scratch: &mut Scratch,
) {
    let mut previous = NONE;
    let picks = column.rows.iter().enumerate().filter_map(move |(position, row)| {
        let is_first = *row != previous;
        previous = *row;
        let slice_row = rows[*row as usize];
        (is_first && slice_row != NONE).then_some((position, slice_row))
    });
    match &column.values {
        Values::Empty => {}
        Values::String(strings) => stage.add_texts(strings, picks, scratch),
        Values::Bool(values) => picks.for_each(|(p, row)| stage.add_bool(row, values.value(p))),
        Values::Int(values) => stage.add_i64s(picks.map(|(p, row)| (values.value(p), row))),
        Values::Double(values) => stage.add_f64s(picks.map(|(p, row)| (values.value(p), row))),
        Values::Binary(values) => picks.for_each(|(p, row)| stage.add_bytes(row, values.value(p))),
    }
}

fn at(table: &AttributeTable, column: u32, position: u32) -> (&str, ValueRef<'_>) {
    let column = &table.columns[column as usize];
    (&column.key, column.value(position as usize))
}

/// Where the attributes of rows stand in their columns; rows ascend, so each column is walked once.
struct Positions<'a> {
    table: &'a AttributeTable,
    /// For each column the first position that may belong to the next row.
    next: Vec<u32>,
}

impl<'a> Positions<'a> {
    fn new(table: &'a AttributeTable) -> Self {
        Self { table, next: vec![0; table.columns.len()] }
    }

    fn find(&mut self, row: u32, columns: &[u32], positions: &mut Vec<u32>) {
        positions.clear();
        for column in columns {
            let rows = &self.table.columns[*column as usize].rows;
            let next = &mut self.next[*column as usize];
            while rows[*next as usize] < row {
                *next += 1;
            }
            positions.push(*next);
            // A key that the row has twice stands at the next position.
            *next += 1;
        }
    }
}
