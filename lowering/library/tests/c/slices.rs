//! The Rust file over the test model: the numbers of tests/c/model.c.

mod scale {
    include!(concat!(env!("FOLDER"), "/scale.rs"));
}

fn main() -> Result<(), scale::Error> {
    let mut model = scale::Model::new(2)?;
    let x = [1.0f32, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let mut y = [0.0f32; 5];
    let mut inputs = scale::Inputs {
        x: scale::View { data: &x, shape: [2, 4] },
        batch_y: scale::ViewMut { data: &mut y, shape: [5] },
        n: 3,
    };
    let out = model.run(&mut inputs)?;
    println!("{} {} {:?}", out.out.data[0], out.out.data[7], out.out.shape);
    println!("{} positive, total {}", out.positive.data.len(), out.total);
    inputs.x.shape[0] = 3;
    println!("{}", model.run(&mut inputs).unwrap_err());
    inputs.x = scale::View { data: &x[..4], shape: [1, 4] };
    let mut short = [0.0f32; 3];
    inputs.batch_y = scale::ViewMut { data: &mut short, shape: [3] };
    let error = model.run(&mut inputs).unwrap_err();
    println!("{}: {}", error.status, error);
    println!("y {}, calls {}", y[0], model.state_counter_calls()[0]);
    model.reset()?;
    println!("calls {}", model.state_counter_calls()[0]);
    Ok(())
}
