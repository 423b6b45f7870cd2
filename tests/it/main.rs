mod live;

fn main() {}
