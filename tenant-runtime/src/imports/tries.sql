-- How often a worker has begun with what the row asks for, and has not been told to stop: what a bundle that ends the process leaves.
alter table imports add column tries integer not null default 0;
